//! `sealift-bundler review`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use sealift_spec::name::{Label, UnitId};
use sealift_spec::statement::{Answer, Verdict};
use sealift_verifier::file;
use sealift_verifier::report::{Exit, Failure, Process};
use serde::Deserialize;
use serde_json::json;

use super::show;
use crate::project::Project;
use crate::review;
use crate::unit::Draft;

#[derive(Args)]
pub(super) struct Review {
    /// The migrations, by version; all that this key has not reviewed yet where none is given
    ids: Vec<UnitId>,
    /// The private key to sign with
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Answers for all of them instead of questions: TOML with `[answers]`, NAME = "ok" or "not-applicable", and `note`
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answers {
    note: Option<Label>,
    #[serde(default)]
    reasons: BTreeMap<Label, Label>,
    answers: BTreeMap<Label, Verdict>,
}

pub(super) fn run(arguments: &Review, folder: &Path, process: &mut Process<'_>) -> Result<Exit, Failure> {
    let (project, drafts) = super::load(folder, process)?;
    let selected = super::select(&drafts, &arguments.ids)?;
    let answers = arguments.answers.as_deref().map(|path| read_answers(path, &project)).transpose()?;
    if answers.is_none() && !process.terminal {
        let text = "a review asks questions, and there is no terminal to ask them on";
        return Err(
            Failure::new(Exit::Unknown, text).hint("run it on a terminal, or give the answers with --answers FILE")
        );
    }
    let signer = super::signer(&arguments.key, process)?;
    let key = signer.public_key().id();
    let mut signed = 0;
    for draft in selected {
        let unit = &draft.unit;
        if review::read(&project.reviews, &unit.id, unit.digest())?.contains_key(&key) {
            process.note(format_args!("{} is reviewed by this key already", unit.id));
            continue;
        }
        let (note, checklist) = match &answers {
            Some(Answers { note, answers, reasons }) => {
                let answer = |item: &Label, answer: Verdict| {
                    let reason = reasons.get(item).cloned();
                    (item.clone(), Answer { answer, item: item.clone(), reason })
                };
                (note.clone(), answers.iter().map(|(item, verdict)| answer(item, *verdict)).collect())
            }
            None => match ask(draft, &project, process)? {
                Some(answered) => answered,
                None => {
                    process.note(format_args!("{} was not signed", unit.id));
                    continue;
                }
            },
        };
        let mut envelope = review::compose(unit, &project, checklist, note, (process.clock)())?;
        signer.sign_envelope(&mut envelope).map_err(|error| Failure::new(Exit::Unknown, error))?;
        let path = review::path(&project.reviews, unit, key);
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Unknown, error).context(format!("cannot write `{}`", path.display()))
        };
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        let line = [envelope.write(), b"\n".to_vec()].concat();
        file::write(&path, &line, 0o644, true).map_err(failed)?;
        process.say(format_args!("signed {} as {key}: {}", unit.id, path.display()));
        process.data("review", &json!({ "id": unit.id, "digest": unit.digest(), "key": key, "path": path }));
        signed += 1;
    }
    process.note(format_args!("{signed} reviews signed"));
    Ok(Exit::Done)
}

fn read_answers(path: &Path, project: &Project) -> Result<Answers, Failure> {
    let context = format!("the answers in `{}` cannot be used", path.display());
    let text = std::fs::read_to_string(path).map_err(|e| Failure::new(Exit::Unknown, e).context(context.clone()))?;
    toml::from_str(&text).map_err(|error| {
        let items: Vec<_> = project.checklist.keys().map(ToString::to_string).collect();
        let hint = format!("a table [answers] with \"ok\" or \"not-applicable\" for each of {}", items.join(", "));
        Failure::new(Exit::Unknown, error).context(context).hint(hint)
    })
}

type Answered = (Option<Label>, BTreeMap<Label, Answer>);

/// Shows a unit and asks the checklist; `None` when the reviewer does not sign.
fn ask(draft: &Draft, project: &Project, process: &mut Process<'_>) -> Result<Option<Answered>, Failure> {
    for line in show::listing(draft) {
        process.note(line);
    }
    process.note("answer each with `o` (in order), `n` (does not apply), or `s` (stop, do not sign)");
    let mut answers = BTreeMap::new();
    for (item, question) in &project.checklist {
        let verdict = loop {
            match prompt(process, &format!("{item}: {} [o/n/s] ", sealift_spec::text::Plain(question)))?.as_str() {
                "o" => break Verdict::Ok,
                "n" => break Verdict::NotApplicable,
                "s" => return Ok(None),
                _ => process.note("please answer `o`, `n` or `s`"),
            }
        };
        answers.insert(item.clone(), Answer { answer: verdict, item: item.clone(), reason: None });
    }
    let note = loop {
        let text = prompt(process, "a note for the record, or nothing: ")?;
        if text.is_empty() {
            break None;
        }
        match text.parse() {
            Ok(note) => break Some(note),
            Err(error) => process.note(format_args!("{error}")),
        }
    };
    let agreed = prompt(process, &format!("sign migration {}? [yes/no] ", draft.unit.id))? == "yes";
    Ok(agreed.then_some((note, answers)))
}

fn prompt(process: &mut Process<'_>, question: &str) -> Result<String, Failure> {
    let failed = |error| Failure::new(Exit::Unknown, error).context("cannot ask on this terminal");
    let _ = write!(process.err, "{question}");
    let _ = process.err.flush();
    let mut line = String::new();
    if process.input.read_line(&mut line).map_err(failed)? == 0 {
        return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(line.trim().to_owned())
}

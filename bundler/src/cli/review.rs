//! `sealift-bundler review`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use sealift_keys::signer::Signer;
use sealift_spec::Digest;
use sealift_spec::manifest::{List, Unit};
use sealift_spec::name::{Label, Person, UnitId};
use sealift_spec::statement::{Answer, Verdict};
use sealift_verifier::file;
use sealift_verifier::report::{Exit, Failure, Process};
use sealift_verifier::signature::{self, Keyring};
use serde::Deserialize;
use serde_json::json;

use super::show;
use crate::project::Project;
use crate::review::{self, About, Reviews};
use crate::unit::{Draft, mode_words};

#[derive(Args)]
pub(super) struct Review {
    /// The migrations, by version; all that this key has not reviewed yet where none is given
    ids: Vec<UnitId>,
    /// The private key to sign with, or a NAME.pub whose private half the ssh-agent holds
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Sign one review of all of them together, as for migrations that ran long before they were packed: shows a list and
    /// asks once. Whoever changes one of them later takes it out, the others stay reviewed
    #[arg(long)]
    baseline: bool,
    /// With --baseline: show every statement too
    #[arg(long, requires = "baseline")]
    full: bool,
    /// Answers for all of them instead of questions: TOML with `[answers]`, NAME = "ok" or "not-applicable", and `note`
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
}

#[derive(Clone, Deserialize)]
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
    if selected.is_empty() {
        process.note("there is no migration to review");
        return Ok(Exit::Done);
    }
    let signer = super::signer(&arguments.key, process)?;
    let key = signer.public_key().id();
    let reviews = Reviews::read(&project.reviews, drafts.iter().map(|draft| &draft.unit.id))?;
    let own = own(&signer)?;
    let is_mine = |envelope| !signature::verify_envelope(envelope, &own).people.is_empty();
    let covered = |unit: &Unit, lists: bool| {
        reviews.of(unit).any(|found| (lists || found.list.is_none()) && is_mine(found.envelope))
    };
    // Who names a migration may sign it by itself, although a list holds it already.
    let (done, open): (Vec<_>, Vec<_>) =
        selected.into_iter().partition(|draft| covered(&draft.unit, arguments.ids.is_empty() || arguments.baseline));
    match done.as_slice() {
        [] => {}
        [draft] => process.note(format_args!("{} is reviewed by this key already", draft.unit.id)),
        many => process.note(format_args!("{} migrations are reviewed by this key already", many.len())),
    }
    if open.is_empty() {
        process.note("nothing is left to review");
        return Ok(Exit::Done);
    }
    if answers.is_none() && !process.terminal {
        let text = "a review asks questions, and there is no terminal to ask them on";
        return Err(
            Failure::new(Exit::Unknown, text).hint("run it on a terminal, or give the answers with --answers FILE")
        );
    }
    let mut signed = 0;
    if arguments.baseline {
        signed += usize::from(baseline(&open, arguments, &project, answers, &signer, process)?);
    } else {
        for draft in open {
            let unit = &draft.unit;
            let (note, checklist) = match answers.clone() {
                Some(answers) => answers.all(),
                None => {
                    for line in show::listing(draft) {
                        process.note(line);
                    }
                    match ask(&format!("migration {}", unit.id), &project, process)? {
                        Some(answered) => answered,
                        None => {
                            process.note(format_args!("{} was not signed", unit.id));
                            continue;
                        }
                    }
                }
            };
            let path = sign(About::Unit(unit), &project, checklist, note, &signer, process)?;
            process.say(format_args!("signed {} as {key}: {}", unit.id, path.display()));
            process.data("review", &json!({ "id": unit.id, "digest": unit.digest(), "key": key, "path": path }));
            signed += 1;
        }
    }
    process.note(format_args!("{signed} {} signed", if signed == 1 { "review" } else { "reviews" }));
    Ok(Exit::Done)
}

/// The signer's key alone: which reviews are theirs is a question of signatures, not of key IDs that files claim.
fn own(signer: &Signer) -> Result<Keyring, Failure> {
    let me: Person = "me".parse().map_err(|error| Failure::new(Exit::Unknown, error))?;
    Ok(Keyring::new([(&signer.public_key(), &me)]))
}

/// Reviews migrations as one list, and says whether it was signed.
fn baseline(
    drafts: &[&Draft],
    arguments: &Review,
    project: &Project,
    answers: Option<Answers>,
    signer: &Signer,
    process: &mut Process<'_>,
) -> Result<bool, Failure> {
    let units: BTreeSet<Digest> = drafts.iter().map(|draft| draft.unit.digest()).collect();
    let bytes = List::write(&units);
    let list = Digest::of(&bytes);
    for draft in drafts {
        if arguments.full {
            for line in show::listing(draft) {
                process.note(line);
            }
        } else {
            process.note(summary(draft));
        }
    }
    let (note, checklist) = match answers {
        Some(answers) => answers.all(),
        None => match ask(&format!("{} as one list", super::migrations(drafts.len())), project, process)? {
            Some(answered) => answered,
            None => {
                process.note("the list was not signed");
                return Ok(false);
            }
        },
    };
    // The list first: a review without its list would be refused.
    write(&review::list_path(&project.reviews, list), &bytes)?;
    let path = sign(About::List(list), project, checklist, note, signer, process)?;
    let (key, ids) = (signer.public_key().id(), drafts.iter().map(|draft| &draft.unit.id).collect::<Vec<_>>());
    process.say(format_args!("signed a list of {} as {key}: {}", super::migrations(ids.len()), path.display()));
    process.data("list-review", &json!({ "ids": ids, "list": list, "key": key, "path": path }));
    Ok(true)
}

/// A migration on one line.
fn summary(draft: &Draft) -> String {
    let unit = &draft.unit;
    let size: u64 = unit.scripts().map(|(_, script)| script.size).sum();
    let down = if unit.down.is_some() { "" } else { ", no down" };
    let warnings = match draft.warnings.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        many => format!(", {many} warnings"),
    };
    format!("{} · {} ({}{down}, {size} bytes{warnings})", unit.id, unit.name, mode_words(unit.up.mode))
}

fn sign(
    about: About<'_>,
    project: &Project,
    checklist: BTreeMap<Label, Answer>,
    note: Option<Label>,
    signer: &Signer,
    process: &Process<'_>,
) -> Result<PathBuf, Failure> {
    let mut envelope = review::compose(about, project, checklist, note, (process.clock)())?;
    signer.sign_envelope(&mut envelope)?;
    let path = about.path(&project.reviews, signer.public_key().id());
    write(&path, &[envelope.write(), b"\n".to_vec()].concat())?;
    Ok(path)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Unknown, error).context(format!("cannot write `{}`", path.display()))
    };
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    file::write(path, bytes, 0o644, true).map_err(failed)
}

impl Answers {
    fn all(self) -> Answered {
        let Self { note, mut reasons, answers } = self;
        let answer = |(item, answer): (Label, Verdict)| {
            let reason = reasons.remove(&item);
            (item.clone(), Answer { answer, item, reason })
        };
        (note, answers.into_iter().map(answer).collect())
    }
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

/// Asks the checklist about what was shown; `None` when the reviewer does not sign.
fn ask(what: &str, project: &Project, process: &mut Process<'_>) -> Result<Option<Answered>, Failure> {
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
    let agreed = prompt(process, &format!("sign {what}? [yes/no] "))? == "yes";
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

use sealift_spec::Timestamp;
use sealift_spec::history::Happening;
use sealift_spec::manifest::{Baseline, Engine, Flavour, Mode, Parts, Release, Script, Source, Statement, Timeouts};

use super::*;

const SQL: &str = "SELECT 1;SET a = 1;SELECT 2;";

fn baseline() -> Baseline {
    Baseline(sealift_spec::baseline::defaults(Flavour::Postgresql))
}

fn script(mode: Mode) -> Script {
    let statement = |end, kind| Statement { end, kind, lock: None, probe: None };
    Script {
        file: "a.up.sql".parse().unwrap(),
        mode,
        not_resumable: false,
        sha256: Digest::of(SQL.as_bytes()),
        size: SQL.len() as u64,
        statements: vec![statement(9, Kind::Dml), statement(19, Kind::Session), statement(28, Kind::Dml)],
    }
}

fn unit(id: &str, parents: &[&str]) -> Unit {
    Unit {
        author: "anna".parse().unwrap(),
        baseline: baseline().digest(),
        down: Some(script(Mode::Transaction)),
        engine: Engine::Postgresql,
        flavour: Flavour::Postgresql,
        foreign_keys: None,
        id: id.parse().unwrap(),
        name: "x".parse().unwrap(),
        parents: parents.iter().map(|parent| parent.parse().unwrap()).collect(),
        project: "orders".parse().unwrap(),
        timeouts: Timeouts { lock_ms: 3_000, statement_ms: 300_000 },
        up: script(Mode::Statements),
    }
}

fn manifest(sequence: u64, target: &[&str], units: Vec<Unit>) -> Manifest {
    let source =
        Source { commit: None, format: "native".parse().unwrap(), repository: None, tool: "t".parse().unwrap() };
    let parts = Parts {
        baseline: baseline(),
        flavour: Flavour::Postgresql,
        lists: Vec::new(),
        min_version: "12".parse().unwrap(),
        project: "orders".parse().unwrap(),
        release: Release { name: "r".parse().unwrap(), sequence },
        source,
        target: target.iter().map(|id| id.parse().unwrap()).collect(),
        units,
    };
    parts.check().unwrap()
}

/// 1 <- 2 <- 3 <- 4.
fn line(sequence: u64) -> Manifest {
    let units = vec![unit("1", &[]), unit("2", &["1"]), unit("3", &["2"]), unit("4", &["3"])];
    manifest(sequence, &["4"], units)
}

fn under(sequence: u64) -> Under {
    Under { permit: None, release: Digest::of(&sequence.to_be_bytes()), root: 1, sequence }
}

fn subject(id: &str) -> Subject {
    Subject { digest: Digest::of(b"unit"), id: id.parse().unwrap(), up: Digest::of(SQL.as_bytes()) }
}

fn grow(history: &mut History, event: Happening) {
    let label = |text: &str| text.parse().unwrap();
    let at = Timestamp::from_seconds(1_800_000_000).unwrap();
    let event = history.next(at, &label("h"), &label("o"), &label("r"), event);
    history.append(event).unwrap();
}

/// A bound database in which release 1 applied these units.
fn applied(ids: &[&str]) -> History {
    let mut history = History::default();
    let (environment, project) = ("trial".parse().unwrap(), "orders".parse().unwrap());
    let (database, engine) = ("00".parse().unwrap(), Engine::Postgresql);
    grow(&mut history, Happening::Bound { database, engine, environment, permit: None, project });
    for id in ids {
        grow(&mut history, Happening::Applied { unit: subject(id), under: under(1) });
    }
    history
}

fn revert(history: &mut History, id: &str, sequence: u64) {
    grow(history, Happening::Reverted { unit: subject(id), under: under(sequence) });
}

fn begin(history: &mut History, id: &str, direction: Direction, done: u64, next: Option<u64>) {
    let script = Digest::of(SQL.as_bytes());
    grow(history, Happening::Started { direction, script, unit: subject(id), under: under(1) });
    grow(history, Happening::Progress { done, next, permit: None });
}

fn ids(choice: &Choice<'_>) -> Vec<String> {
    choice.units.iter().map(|(unit, _)| unit.id.to_string()).collect()
}

fn steps(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn id(text: &str) -> UnitId {
    text.parse().unwrap()
}

#[test]
fn what_is_pending_is_applied_as_far_as_asked() {
    let (manifest, history, under) = (line(1), applied(&["1"]), under(1));
    let survey = Survey::of(&manifest, &history, &under);
    let all = survey.forwards(&Reach::Target, 0).unwrap();
    assert_eq!((ids(&all), all.left), (vec!["2".to_owned(), "3".into(), "4".into()], 0));
    assert_eq!(all.completes, Some(vec![id("4")]));
    let some = survey.forwards(&Reach::To(id("3")), 0).unwrap();
    assert_eq!((ids(&some), some.left, some.completes), (vec!["2".to_owned(), "3".into()], 1, None));
    let one = survey.forwards(&Reach::Steps(steps(1)), 0).unwrap();
    assert_eq!((ids(&one), one.left), (vec!["2".to_owned()], 2));
    assert!(matches!(survey.forwards(&Reach::To(id("9")), 0), Err(PlanError::NoSuchUnit { .. })));
}

#[test]
fn what_a_permit_has_done_counts_among_its_steps() {
    let (manifest, history, under) = (line(1), applied(&["1", "2"]), under(1));
    let survey = Survey::of(&manifest, &history, &under);
    // Of three steps, one is done; of one, none is left.
    assert_eq!(ids(&survey.forwards(&Reach::Steps(steps(3)), 1).unwrap()), ["3", "4"]);
    assert!(survey.forwards(&Reach::Steps(steps(1)), 1).unwrap().units.is_empty());
    assert_eq!(ids(&survey.back(&Back::Steps(steps(2)), 1).unwrap()), ["2"]);
    assert!(survey.back(&Back::Steps(steps(1)), 2).unwrap().units.is_empty());
    let choice = survey.forwards(&Reach::Steps(steps(1)), 0).unwrap();
    assert_eq!((survey.heads(&choice.units), survey.heads(&[])), (vec![id("3")], vec![id("2")]));
    let choice = survey.back(&Back::All, 0).unwrap();
    assert_eq!(survey.heads(&choice.units), Vec::<UnitId>::new());
}

#[test]
fn heads_are_noted_once_per_release() {
    let (manifest, mut history, under) = (line(1), applied(&["1", "2", "3", "4"]), under(1));
    let completes = |history: &History| {
        let choice = Survey::of(&manifest, history, &under).forwards(&Reach::Target, 0).unwrap();
        (choice.reached.is_some(), choice.completes.is_some())
    };
    assert_eq!(completes(&history), (true, true));
    grow(&mut history, Happening::Completed { heads: vec![id("4")], under: under.clone() });
    assert_eq!(completes(&history), (true, false));
}

#[test]
fn a_reverted_unit_is_held_until_a_higher_sequence() {
    let mut history = applied(&["1", "2", "3"]);
    revert(&mut history, "3", 1);
    let choose = |sequence| {
        let (manifest, under) = (line(sequence), under(sequence));
        let choice = Survey::of(&manifest, &history, &under).forwards(&Reach::Target, 0).unwrap();
        (ids(&choice), choice.held, choice.completes.is_some())
    };
    // 4 stands on 3.
    assert_eq!(choose(1), (vec![], vec![id("3"), id("4")], false));
    assert_eq!(choose(2), (vec!["3".to_owned(), "4".into()], vec![], true));
}

#[test]
fn late_units_need_leave_and_applied_ones_a_place_in_the_target() {
    let units = || vec![unit("1", &[]), unit("2", &["1"]), unit("3", &["1"])];
    let (both, history, under) = (manifest(1, &["2", "3"], units()), applied(&["1", "3"]), under(1));
    let survey = Survey::of(&both, &history, &under);
    assert_eq!(survey.order(&[]), Err(PlanError::OutOfOrder { id: id("2"), before: id("3") }));
    assert_eq!(survey.order(&[id("2")]), Ok(()));
    let one = manifest(1, &["2"], units());
    assert_eq!(
        Survey::of(&one, &history, &under).order(&[id("2")]),
        Err(PlanError::Outside { id: id("3"), sequence: 1 })
    );
}

#[test]
fn reverting_goes_back_in_the_order_of_applying() {
    let (manifest, history, under) = (line(1), applied(&["1", "2", "3"]), under(1));
    let survey = Survey::of(&manifest, &history, &under);
    let back = |back| survey.back(&back, 0).map(|choice| ids(&choice));
    assert_eq!(back(Back::All), Ok(vec!["3".to_owned(), "2".into(), "1".into()]));
    assert_eq!(back(Back::Steps(steps(2))), Ok(vec!["3".to_owned(), "2".into()]));
    assert_eq!(back(Back::To(id("2"))), Ok(vec!["3".to_owned()]));
    assert_eq!(back(Back::To(id("4"))), Err(PlanError::NotApplied { id: id("4") }));
    assert_eq!(back(Back::To(id("9"))), Err(PlanError::NoSuchUnit { id: id("9") }));
}

#[test]
fn a_missing_down_script_refuses_the_whole_way_back() {
    let (history, under) = (applied(&["1", "2"]), under(1));
    let units = vec![Unit { down: None, ..unit("1", &[]) }, unit("2", &["1"])];
    let manifest = manifest(1, &["2"], units);
    let survey = Survey::of(&manifest, &history, &under);
    assert!(matches!(survey.back(&Back::All, 0), Err(PlanError::NoDown { .. })));
    assert!(survey.back(&Back::Steps(steps(1)), 0).is_ok());
}

#[test]
fn what_was_begun_is_finished_first_and_the_same_way() {
    let (manifest, mut history, under) = (line(1), applied(&["1"]), under(1));
    begin(&mut history, "2", Direction::Up, 1, None);
    let survey = Survey::of(&manifest, &history, &under);
    assert_eq!(survey.order(&[]), Ok(()));
    assert_eq!(ids(&survey.forwards(&Reach::Steps(steps(1)), 0).unwrap()), ["2"]);
    assert!(matches!(survey.back(&Back::All, 0), Err(PlanError::OtherWay { direction: Direction::Up, .. })));
    let mut history = applied(&["1", "2"]);
    begin(&mut history, "1", Direction::Down, 0, Some(0));
    let survey = Survey::of(&manifest, &history, &under);
    assert_eq!(ids(&survey.back(&Back::To(id("2")), 0).unwrap()), ["1"]);
    assert!(matches!(survey.forwards(&Reach::Target, 0), Err(PlanError::OtherWay { .. })));
}

#[test]
fn only_the_very_unit_that_was_begun_goes_on() {
    let mut history = applied(&[]);
    begin(&mut history, "1", Direction::Up, 1, Some(2));
    let begun = history.running().unwrap();
    let unit = unit("1", &[]);
    let work = Work::unreviewed(&unit, Direction::Up, SQL);
    assert_eq!(resume(&work, &subject("1"), begun), Ok(Resume { done: 1, next: Some(2) }));
    let other = Subject { digest: Digest::of(b"edited"), ..subject("1") };
    assert!(matches!(resume(&work, &other, begun), Err(PlanError::OtherUnit { .. })));
    let beyond = Running { done: 4, ..begun.clone() };
    assert!(matches!(resume(&work, &subject("1"), &beyond), Err(PlanError::Progress { .. })));
}

#[test]
fn state_that_is_gone_cannot_be_resumed() {
    let mut history = applied(&[]);
    begin(&mut history, "1", Direction::Up, 1, None);
    let mut unit = unit("1", &[]);
    unit.up.not_resumable = true;
    let work = Work::unreviewed(&unit, Direction::Up, SQL);
    let refused = resume(&work, &subject("1"), history.running().unwrap());
    assert_eq!(refused, Err(PlanError::NotResumable { id: id("1"), done: 1, count: 3 }));
}

#[test]
fn bundle_and_history_must_agree() {
    let trial: Name = "trial".parse().unwrap();
    let history = applied(&["1", "2"]);
    let agree = |manifest: &Manifest, environment: &Name, history: &History| {
        agree(manifest, environment, history, &Goal::Apply(Reach::Target))
    };
    assert_eq!(agree(&line(1), &trial, &history), Ok(()));
    let dev: Name = "dev".parse().unwrap();
    assert!(matches!(agree(&line(1), &dev, &history), Err(PlanError::Environment { .. })));
    let mut edited = unit("1", &[]);
    edited.up.sha256 = Digest::of(b"edited");
    let edited = manifest(1, &["2"], vec![edited, unit("2", &["1"])]);
    assert!(matches!(agree(&edited, &trial, &history), Err(PlanError::Edited { .. })));
    let without = |sequence| manifest(sequence, &["1"], vec![unit("1", &[])]);
    assert!(matches!(agree(&without(1), &trial, &history), Err(PlanError::Unknown { .. })));
    // An older release does not know what a newer one brought, and may say so in peace; it just does nothing.
    let mut newer = history;
    grow(&mut newer, Happening::Applied { unit: subject("3"), under: under(7) });
    assert_eq!(agree(&without(6), &trial, &newer), Ok(()));
    assert!(matches!(executable(&under(6), &newer), Err(PlanError::Older { sequence: 6, newest: 7 })));
    assert_eq!(executable(&under(7), &newer), Ok(()));
    let rooted = Under { root: 0, ..under(7) };
    assert!(matches!(executable(&rooted, &newer), Err(PlanError::RootFloor { .. })));
}

#[test]
fn a_newer_release_with_an_earlier_target_goes_back() {
    let words = |choice: &Choice<'_>| -> Vec<String> {
        choice.units.iter().map(|(unit, direction)| format!("{direction} {}", unit.id)).collect()
    };
    let units = || vec![unit("1", &[]), unit("2", &["1"]), unit("3", &["2"]), unit("4", &["1"])];
    let (earlier, history, newer) = (manifest(2, &["4"], units()), applied(&["1", "2", "3"]), under(2));
    let survey = Survey::of(&earlier, &history, &newer);
    assert_eq!(survey.order(&[]), Ok(()));
    let all = survey.forwards(&Reach::Target, 0).unwrap();
    assert_eq!(words(&all), ["down 3", "down 2", "up 4"]);
    assert_eq!(all.completes, Some(vec![id("4")]));
    let some = survey.forwards(&Reach::Steps(steps(1)), 0).unwrap();
    assert_eq!((words(&some), some.left, some.completes), (vec!["down 3".to_owned()], 2, None));
    let to = survey.forwards(&Reach::To(id("1")), 0).unwrap();
    assert_eq!((words(&to), to.left), (vec!["down 3".to_owned(), "down 2".into()], 1));
    // A release of the same sequence takes nothing back, and an older one does nothing.
    let same = under(1);
    let refused = Survey::of(&earlier, &history, &same).order(&[]);
    assert_eq!(refused, Err(PlanError::Outside { id: id("3"), sequence: 1 }));
    let older = under(0);
    let survey = Survey::of(&earlier, &history, &older);
    assert_eq!((survey.order(&[]), survey.withdrawn().unwrap().len()), (Ok(()), 0));
    // Each needs its way back.
    let no_down = vec![unit("1", &[]), Unit { down: None, ..unit("2", &["1"]) }, unit("3", &["2"])];
    let no_down = manifest(2, &["1"], no_down);
    let refused = Survey::of(&no_down, &history, &newer).forwards(&Reach::Target, 0).err();
    assert!(matches!(refused, Some(PlanError::NoDown { .. })), "{refused:?}");
}

#[test]
fn what_was_interrupted_outside_the_target_is_finished_and_taken_back() {
    let words = |history: &History| -> Vec<String> {
        let (manifest, newer) = (manifest(2, &["1"], vec![unit("1", &[]), unit("2", &["1"])]), under(2));
        let choice = Survey::of(&manifest, history, &newer).forwards(&Reach::Target, 0).unwrap();
        choice.units.iter().map(|(unit, direction)| format!("{direction} {}", unit.id)).collect()
    };
    let mut history = applied(&["1"]);
    begin(&mut history, "2", Direction::Up, 1, None);
    assert_eq!(words(&history), ["up 2", "down 2"]);
    let mut history = applied(&["1", "2"]);
    begin(&mut history, "2", Direction::Down, 1, None);
    assert_eq!(words(&history), ["down 2"]);
}

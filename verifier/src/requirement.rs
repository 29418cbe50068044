//! Whether the people who signed satisfy an environment, with nobody counted twice (`trust.md` section 6).
//!
//! Requirements are slots, `people` of them each; a person fits a slot when they hold its role and signed its kind of
//! statement. All slots must be filled by different people: a bipartite matching, found by augmenting paths.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sealift_spec::name::{Name, Person};
use sealift_spec::policy::{Policy, Requirement};
use sealift_spec::statement::PredicateKind;

/// Who signed what: for each kind of statement, the people whose signatures count.
pub type Signatures<'a> = BTreeMap<PredicateKind, BTreeSet<&'a Person>>;

/// The first requirement that cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    /// The role.
    pub role: Name,
    /// What its people must have signed.
    pub statement: PredicateKind,
    /// How many are needed.
    pub needed: u32,
    /// How many there are who are not needed elsewhere.
    pub present: u32,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, statement, needed, present } = self;
        let people = if *needed == 1 { "person" } else { "people" };
        let counted = if *present == 0 { "nobody counts".to_owned() } else { format!("{present} counted") };
        write!(f, "role `{role}` needs {needed} {people} to sign the {statement}, {counted}")
    }
}

impl std::error::Error for Shortfall {}

/// Assigns people to all slots of `requirements`, or says which requirement falls short.
///
/// # Errors
/// [`Shortfall`] for the first requirement, in order, that cannot be filled beside those before it.
pub fn satisfy<'a>(
    policy: &Policy,
    requirements: impl IntoIterator<Item = &'a Requirement>,
    signatures: &Signatures<'_>,
) -> Result<Satisfied, Shortfall> {
    let nobody = BTreeSet::new();
    // For each slot the people who fit it, and for each person the slot they fill.
    let mut slots: Vec<Vec<&Person>> = Vec::new();
    let mut filled: BTreeMap<&Person, usize> = BTreeMap::new();
    for requirement in requirements {
        let signed = signatures.get(&requirement.statement).unwrap_or(&nobody);
        // Reading and judging is for human beings, whatever roles a service holds.
        let counts = |person: &&Person| requirement.statement != PredicateKind::Review || policy.is_human(person);
        let fitting = signed.iter().copied().filter(|person| policy.holds(person, &requirement.role)).filter(counts);
        let fitting: Vec<&Person> = fitting.collect();
        for present in 0..requirement.people {
            slots.push(fitting.clone());
            if !augment(slots.len() - 1, &slots, &mut filled, &mut BTreeSet::new()) {
                let (role, statement) = (requirement.role.clone(), requirement.statement);
                return Err(Shortfall { role, statement, needed: requirement.people, present });
            }
        }
    }
    Ok(Satisfied { people: filled.into_keys().cloned().collect() })
}

fn augment<'p>(
    slot: usize,
    slots: &[Vec<&'p Person>],
    filled: &mut BTreeMap<&'p Person, usize>,
    tried: &mut BTreeSet<&'p Person>,
) -> bool {
    for person in &slots[slot] {
        if !tried.insert(person) {
            continue;
        }
        let free = match filled.get(person).copied() {
            None => true,
            Some(other) => augment(other, slots, filled, tried),
        };
        if free {
            filled.insert(person, slot);
            return true;
        }
    }
    false
}

/// Proof that all requirements are met, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Satisfied {
    people: BTreeSet<Person>,
}

impl Satisfied {
    /// Different people, one for each slot.
    pub fn people(&self) -> &BTreeSet<Person> {
        &self.people
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealift_spec::policy::{Holder, Member};

    fn policy(roles: &[(&str, &[&str])]) -> Policy {
        let people = |holders: &[&str]| holders.iter().map(|p| p.parse().unwrap()).collect();
        Policy {
            environments: BTreeMap::new(),
            people: ["a", "b", "c"].map(|p| (p.parse().unwrap(), Member { keys: vec![], kind: Holder::Human })).into(),
            predicates: BTreeMap::new(),
            revoked: Default::default(),
            validity: BTreeMap::new(),
            warning_days: 30,
            roles: roles.iter().map(|(role, holders)| (role.parse().unwrap(), people(holders))).collect(),
        }
    }

    fn need(people: u32, role: &str, statement: PredicateKind) -> Requirement {
        Requirement { people, role: role.parse().unwrap(), statement }
    }

    #[test]
    fn nobody_fills_two_slots() {
        use PredicateKind::{Release, Review};
        let policy = policy(&[("release", &["a", "b"]), ("review", &["a", "b", "c"]), ("dba", &["b"])]);
        let [a, b, c]: [Person; 3] = ["a", "b", "c"].map(|p| p.parse().unwrap());
        let require = [need(1, "release", Release), need(1, "review", Review), need(1, "dba", Review)];
        let mut signed: Signatures<'_> = [(Release, [&a].into()), (Review, [&a, &b, &c].into())].into();
        // `b` must be kept free for `dba`, which takes an augmenting path.
        assert_eq!(satisfy(&policy, &require, &signed).unwrap().people().len(), 3);
        signed.insert(Review, [&a, &b].into());
        assert_eq!(satisfy(&policy, &require, &signed).unwrap_err().role.as_str(), "dba");
        signed.insert(Release, [&b].into());
        signed.insert(Review, [&a, &b, &c].into());
        assert!(satisfy(&policy, &require, &signed).is_err());
    }

    #[test]
    fn more_than_one_of_a_role_means_different_people() {
        let policy = policy(&[("review", &["a", "b"])]);
        let a: Person = "a".parse().unwrap();
        let signed: Signatures<'_> = [(PredicateKind::Review, [&a].into())].into();
        let two = [need(2, "review", PredicateKind::Review)];
        assert_eq!(satisfy(&policy, &two, &signed).unwrap_err().present, 1);
    }
}

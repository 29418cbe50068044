//! What it takes to satisfy an environment: how many people at least, who could be among them, whom nobody can replace
//! (`trust.md` section 7).
//!
//! The judgement itself is the verifier's [`requirement::satisfy`], asked as if everybody had signed all they may. Nobody
//! is counted twice, so the smallest set has as many people as all requirements together ask for.

use std::collections::BTreeSet;

use sealift_spec::name::{Name, Person};
use sealift_spec::policy::{Environment, Holder, Policy, Requirement};
use sealift_spec::statement::PredicateKind;
use sealift_verifier::requirement::{self, Shortfall, Signatures};

/// What it takes to satisfy an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// The number of people in the smallest set that suffices.
    pub smallest: usize,
    /// One such set.
    pub example: BTreeSet<Person>,
    /// How many people at least review each unit.
    pub reviewers: u32,
    /// Who is in every set that suffices.
    pub indispensable: BTreeSet<Person>,
    /// Who holds roles for several requirements and cannot be spared from one of them for the other.
    pub torn: Vec<Torn>,
    /// Programs that may review.
    pub reviewing_services: BTreeSet<Person>,
}

/// Somebody who may sign two kinds of statement but is needed for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Who.
    pub person: Person,
    /// What they may also sign.
    pub spent_on: PredicateKind,
    /// What falls short if they are counted there.
    pub shortfall: Shortfall,
}

/// The people who could satisfy one requirement.
pub fn eligible<'p>(policy: &'p Policy, requirement: &Requirement) -> BTreeSet<&'p Person> {
    let signers = signers(policy, requirement.statement).into_iter();
    signers.filter(|person| policy.holds(person, &requirement.role)).collect()
}

/// Works out what it takes to satisfy an environment of the policy.
///
/// # Errors
/// [`Shortfall`] when all people together cannot.
pub fn assess(policy: &Policy, environment: &Environment) -> Result<Assessment, Shortfall> {
    // A release and the reviews of its units are judged together; a credentials file is judged by itself.
    let (alone, together): (Vec<_>, Vec<_>) =
        environment.require.iter().partition(|requirement| requirement.statement == PredicateKind::Credentials);
    let everybody: Signatures<'_> =
        crate::trust::STATEMENTS.into_iter().map(|kind| (kind, signers(policy, kind))).collect();
    requirement::satisfy(policy, alone, &everybody)?;
    let example = requirement::satisfy(policy, together.iter().copied(), &everybody)?.people().clone();
    let short_without = |person: &Person, kinds: &[PredicateKind]| {
        let mut others = everybody.clone();
        for (_, people) in others.iter_mut().filter(|(kind, _)| kinds.contains(kind)) {
            people.remove(person);
        }
        requirement::satisfy(policy, together.iter().copied(), &others).err()
    };
    let mut indispensable = BTreeSet::new();
    let mut torn = Vec::new();
    for person in policy.people.keys() {
        if short_without(person, &crate::trust::STATEMENTS).is_some() {
            indispensable.insert(person.clone());
        }
        let fits = |statement| {
            let about = together.iter().filter(|requirement| requirement.statement == statement);
            about.into_iter().any(|requirement| eligible(policy, requirement).contains(person))
        };
        let kinds = [PredicateKind::Release, PredicateKind::Review];
        if kinds.into_iter().all(fits) {
            for (spent_on, needed_for) in [(kinds[0], kinds[1]), (kinds[1], kinds[0])] {
                if let Some(shortfall) = short_without(person, &[needed_for]) {
                    torn.push(Torn { person: person.clone(), spent_on, shortfall });
                }
            }
        }
    }
    let reviews = together.iter().filter(|requirement| requirement.statement == PredicateKind::Review);
    let reviewing_services = reviews
        .clone()
        .flat_map(|requirement| eligible(policy, requirement))
        .filter(|person| policy.people[*person].kind == Holder::Service)
        .cloned()
        .collect();
    Ok(Assessment {
        smallest: example.len(),
        example,
        reviewers: reviews.map(|requirement| requirement.people).sum(),
        indispensable,
        torn,
        reviewing_services,
    })
}

/// The people who may sign a kind of statement and have a key that is not revoked. When keys are valid is not looked at:
/// that changes with every day.
fn signers(policy: &Policy, kind: PredicateKind) -> BTreeSet<&Person> {
    let usable =
        |person: &&Person| policy.people[*person].keys.iter().any(|key| !policy.revoked.keys.contains(&key.id()));
    policy.may_sign(kind).into_iter().filter(usable).collect()
}

/// The roles a person holds.
pub fn roles_of<'p>(policy: &'p Policy, person: &Person) -> Vec<&'p Name> {
    policy.roles.iter().filter(|(_, holders)| holders.contains(person)).map(|(role, _)| role).collect()
}

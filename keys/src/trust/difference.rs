//! What one root and its policy change against the ones before, fact by fact (`trust.md` section 7).
//!
//! Both sides are broken into facts that have a name and maybe a value, and the facts are compared. So whatever is a fact
//! here cannot change unseen, and `everything_that_a_policy_says_is_a_fact` holds that nothing is left out.

use std::collections::BTreeMap;
use std::fmt;

use sealift_spec::policy::{Environment, Holder, Policy, Requirement, Validity};
use sealift_spec::root::Root;
use serde::Serialize;

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum About {
    /// Until when the root is valid.
    Expiry,
    /// How many holders must sign the next root.
    RootThreshold,
    /// A key that signs roots.
    RootKey,
    /// A person or service.
    Person,
    /// A key of somebody.
    Key,
    /// When a key may be used.
    Validity,
    /// Who holds a role.
    Role,
    /// Which roles may sign a statement.
    Predicate,
    /// An environment.
    Environment,
    /// How many people an environment requires.
    Requirement,
    /// The oldest a release may be in an environment.
    MaxAge,
    /// The lowest sequence of a release in an environment.
    MinSequence,
    /// A revoked key.
    RevokedKey,
    /// A revoked release.
    RevokedRelease,
    /// A revoked unit.
    RevokedUnit,
    /// Revoked content.
    RevokedContent,
    /// How long before expiry programs warn.
    Warning,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expiry => "expiry",
            Self::RootThreshold => "root threshold",
            Self::RootKey => "root key",
            Self::Person => "person",
            Self::Key => "key",
            Self::Validity => "validity of key",
            Self::Role => "role",
            Self::Predicate => "statement",
            Self::Environment => "environment",
            Self::Requirement => "requirement",
            Self::MaxAge => "oldest release in",
            Self::MinSequence => "lowest sequence in",
            Self::RevokedKey => "revocation of key",
            Self::RevokedRelease => "revocation of release",
            Self::RevokedUnit => "revocation of unit",
            Self::RevokedContent => "revocation of content",
            Self::Warning => "warning before expiry",
        })
    }
}

/// One fact that is new, gone or different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is about.
    pub about: About,
    /// Which one; empty where there is only one.
    pub subject: String,
    /// What was said before; absent if nothing was.
    pub before: Option<String>,
    /// What is said now; absent if nothing is.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.about)?;
        if !self.subject.is_empty() {
            write!(f, " {}", self.subject)?;
        }
        let value = |value: &str| if value.is_empty() { String::new() } else { format!(" ({value})") };
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, ": {after}, was {before}"),
            (None, Some(after)) => write!(f, ": added{}", value(after)),
            (Some(before), None) => write!(f, ": removed{}", value(before)),
            (None, None) => Ok(()),
        }
    }
}

/// What the second root and policy say differently.
pub fn between(before: (&Root, &Policy), after: (&Root, &Policy)) -> Vec<Change> {
    let (before, mut after) = (facts(before.0, before.1), facts(after.0, after.1));
    let mut changes = Vec::new();
    for ((about, subject), was) in before {
        let is = after.remove(&(about, subject.clone()));
        if is.as_ref() != Some(&was) {
            changes.push(Change { about, subject, before: Some(was), after: is });
        }
    }
    let added = after.into_iter();
    changes.extend(added.map(|((about, subject), is)| Change { about, subject, before: None, after: Some(is) }));
    changes.sort_by(|a, b| (a.about, &a.subject).cmp(&(b.about, &b.subject)));
    changes
}

type Facts = BTreeMap<(About, String), String>;

fn facts(root: &Root, policy: &Policy) -> Facts {
    // Taken apart by name, so that a field that is added to the format is missed here by the compiler.
    let Root { version: _, expires, keys, threshold, policy: _ } = root;
    let Policy { environments, people, predicates, revoked, roles, validity, warning_days } = policy;
    let mut facts = Facts::new();
    let mut say = |about, subject: String, value: String| {
        // Two requirements may read alike; each is a fact of its own.
        let mut name = subject.clone();
        for number in 2.. {
            if !facts.contains_key(&(about, name.clone())) {
                break;
            }
            name = format!("{subject} (number {number})");
        }
        facts.insert((about, name), value);
    };
    say(About::Expiry, String::new(), expires.to_string());
    say(About::RootThreshold, String::new(), format!("{threshold} of {} signatures", keys.len()));
    for key in keys {
        let holder = people.iter().find(|(_, member)| member.keys.contains(key)).map(|(person, _)| person.to_string());
        say(About::RootKey, key.id().to_string(), holder.unwrap_or_else(|| "nobody's".to_owned()));
    }
    for (person, member) in people {
        let kind = if member.kind == Holder::Human { "human" } else { "service" };
        say(About::Person, person.to_string(), kind.to_owned());
        for key in &member.keys {
            say(About::Key, key.id().to_string(), person.to_string());
        }
    }
    for (key, Validity { not_after, not_before }) in validity {
        let from = not_before.map(|time| format!("from {time}"));
        let until = not_after.map(|time| format!("until {time}"));
        let words: Vec<String> = from.into_iter().chain(until).collect();
        say(About::Validity, key.to_string(), words.join(" "));
    }
    for (role, holders) in roles {
        for person in holders {
            say(About::Role, format!("{role} of {person}"), String::new());
        }
    }
    for (statement, may_sign) in predicates {
        let names: Vec<&str> = may_sign.iter().map(|role| role.as_str()).collect();
        say(About::Predicate, statement.to_string(), format!("signed by role {}", names.join(", ")));
    }
    for (name, environment) in environments {
        let Environment { max_age_days, min_sequence, protected, require } = environment;
        let protected = if *protected { "protected" } else { "not protected" };
        say(About::Environment, name.to_string(), protected.to_owned());
        for Requirement { people, role, statement } in require {
            let count = if *people == 1 { "1 person".to_owned() } else { format!("{people} people") };
            say(About::Requirement, format!("{name}: {statement} by role {role}"), count);
        }
        if let Some(days) = max_age_days {
            say(About::MaxAge, name.to_string(), format!("{days} days"));
        }
        if let Some(sequence) = min_sequence {
            say(About::MinSequence, name.to_string(), sequence.to_string());
        }
    }
    let sealift_spec::policy::Revoked { contents, keys, releases, units } = revoked;
    for key in keys {
        say(About::RevokedKey, key.to_string(), String::new());
    }
    for (about, digests) in
        [(About::RevokedRelease, releases), (About::RevokedUnit, units), (About::RevokedContent, contents)]
    {
        for digest in digests {
            say(about, digest.to_string(), String::new());
        }
    }
    say(About::Warning, String::new(), format!("{warning_days} days"));
    facts
}

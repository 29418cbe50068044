//! A small world made with the programs themselves, as their users would: people, trust, a project, a host.
//!
//! Carol writes and releases, Alice and Bob review; Alice seals credentials. The environment is `trial`, unprotected.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::command::{Command, Outcome};
use crate::server::{Database, Engine};

/// Answers that sign every item of the default checklists.
pub const ANSWERS: &str = r#"
[answers]
constraints = "ok"
data-loss = "ok"
down = "ok"
dynamic-sql = "ok"
idempotence = "ok"
locks = "ok"
logic = "ok"
privileges = "ok"
sensitive = "ok"
"#;

/// What `trust.toml` of a story says after the people.
pub const RULES: &str = r#"
[roles]
root = { people = ["alice@example.com", "bob@example.com"], threshold = 2 }
review = { people = ["alice@example.com", "bob@example.com", "dave@example.com"] }
release = { people = ["carol@example.com"] }
operate = { people = ["erin@example.com"] }
credentials = { people = ["alice@example.com"] }

[environments.trial]
protected = false
require = [
    { statement = "review", role = "review", people = 2 },
    { statement = "release", role = "release", people = 1 },
]

[environments.production]
protected = true
require = [
    { statement = "review", role = "review", people = 2 },
    { statement = "release", role = "release", people = 1 },
    { statement = "permit", role = "operate", people = 1 },
]
"#;

/// The people of a story. Mallory is nobody in the policy.
pub const PEOPLE: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "mallory"];

/// A world in a temporary folder.
pub struct Story {
    folder: TempDir,
    /// The database of its host.
    pub database: Database,
    /// The digest of its first root.
    pub root: String,
}

impl Story {
    /// Makes keys, trust, an empty project and, for servers, sealed credentials over TLS.
    ///
    /// # Panics
    /// When a program refuses.
    #[must_use]
    pub fn new(database: Database) -> Self {
        let folder = tempfile::Builder::new().prefix("sealift-").tempdir().expect("a temporary folder");
        let mut story = Self { folder, database, root: String::new() };
        let path = |name: &str| story.folder.path().join(name);
        fs::create_dir_all(path("migrations")).expect("a folder");
        fs::create_dir(path("keys")).expect("a folder");
        for who in PEOPLE {
            let generate = Command::new("sealift-keys").line("generate --no-passphrase --holder");
            let generate = generate.argument(format!("{who}@example.com")).argument("--out").argument(story.key(who));
            let _ = generate.run().expect(0);
        }
        story.write("trust.toml", &story.trust_toml(RULES));
        let _ = story.keys("trust draft trust.toml --out trust").expect(0);
        for who in ["alice", "bob"] {
            let _ = story.keys(&format!("trust sign trust/1.root.json --key keys/{who}")).expect(0);
        }
        story.root = story.root_of("trust");
        story.write("sealift.toml", &format!("project = \"orders\"\nengine = \"{}\"\n", story.database.engine));
        story.write("answers.toml", ANSWERS);
        let _ = story.keys("identity --out keys/host").expect(0);
        if story.database.engine != Engine::Sqlite {
            let ca = story.database.ca.as_ref().expect("a server has an authority").display().to_string();
            let input = format!(
                "project = \"orders\"\nenvironment = \"trial\"\nserial = 1\nnot-after = 2030-01-01T00:00:00Z\n\n\
                 [databases.main]\nurl = \"{}\"\nca = \"{ca}\"\n",
                story.database.url
            );
            story.write("secrets.toml", &input);
            fs::set_permissions(story.path("secrets.toml"), fs::Permissions::from_mode(0o600)).expect("a mode");
            let _ = story.seal("secrets.toml", "alice", "credentials.sealed").expect(0);
        }
        story
    }

    /// `trust.toml`: the people with their keys, then `rules`.
    ///
    /// # Panics
    /// When a key is missing.
    #[must_use]
    pub fn trust_toml(&self, rules: &str) -> String {
        let person = |who: &&str| {
            let key = fs::read_to_string(self.path(&format!("keys/{who}.pub"))).expect("a public key");
            let key: Vec<&str> = key.split_whitespace().take(2).collect();
            format!("[people.\"{who}@example.com\"]\nkind = \"human\"\nkeys = [\"{}\"]\n\n", key.join(" "))
        };
        PEOPLE.iter().filter(|who| **who != "mallory").map(person).collect::<String>() + rules
    }

    /// The digest of the first root in a folder.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn root_of(&self, trust: &str) -> String {
        let bytes = fs::read(self.path(trust).join("1.root.json")).expect("a root");
        sealift_spec::root::RootFile::read(&bytes).expect("a well-formed root").digest().to_string()
    }

    /// A path in the world.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The world's folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// The private key of a person.
    #[must_use]
    pub fn key(&self, who: &str) -> PathBuf {
        self.path("keys").join(who)
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Writes a migration with its down script; Carol is the author.
    pub fn migration(&self, name: &str, up: &str, down: &str) {
        self.write(&format!("migrations/{name}.up.sql"), &format!("-- sealift: author=carol@example.com\n{up}\n"));
        self.write(&format!("migrations/{name}.down.sql"), &format!("{down}\n"));
    }

    /// Three plain migrations, the last with data.
    pub fn three_migrations(&self) {
        self.migration(
            "1_customer",
            "CREATE TABLE customer (id INTEGER PRIMARY KEY, email VARCHAR(100) NOT NULL);",
            "DROP TABLE customer;",
        );
        self.migration(
            "2_index",
            "CREATE INDEX customer_email ON customer (email);",
            match self.database.engine {
                Engine::Mariadb => "DROP INDEX customer_email ON customer;",
                _ => "DROP INDEX customer_email;",
            },
        );
        self.migration("3_data", "INSERT INTO customer (id, email) VALUES (1, 'a@example.com'), (2, 'b;@example.com');\nALTER TABLE customer ADD COLUMN country VARCHAR(2);", "ALTER TABLE customer DROP COLUMN country;\nDELETE FROM customer;");
    }

    /// Runs `sealift-keys` in the world.
    #[must_use]
    pub fn keys(&self, line: &str) -> Outcome {
        Command::new("sealift-keys").folder(self.home()).line(line).run()
    }

    /// Runs `sealift-bundler` in the world.
    #[must_use]
    pub fn bundler(&self, line: &str) -> Outcome {
        Command::new("sealift-bundler").folder(self.home()).line(line).run()
    }

    /// Runs `sealift-verifier verify` as the trial host would.
    #[must_use]
    pub fn verify(&self, bundle: &str) -> Outcome {
        let root = &self.root;
        let line = format!("verify {bundle} --trust trust --root-sha256 {root} --project orders --environment trial");
        Command::new("sealift-verifier").folder(self.home()).line(&line).run()
    }

    /// Seals credentials to the host.
    #[must_use]
    pub fn seal(&self, input: &str, who: &str, out: &str) -> Outcome {
        let recipient = self.recipient("keys/host");
        self.keys(&format!("credentials seal --in {input} --recipient {recipient} --key keys/{who} --out {out}"))
    }

    /// The recipient of an identity file.
    ///
    /// # Panics
    /// When `age-keygen` cannot tell.
    #[must_use]
    pub fn recipient(&self, identity: &str) -> String {
        let output = std::process::Command::new("age-keygen").arg("-y").arg(self.path(identity)).output();
        let output = output.expect("age-keygen runs (Debian package `age`)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Reviews everything as Alice and Bob.
    pub fn review(&self) {
        for who in ["alice", "bob"] {
            let _ = self.bundler(&format!("review --key keys/{who} --answers answers.toml")).expect(0);
        }
    }

    /// Packs a release for `trial` and signs it as Carol.
    ///
    /// # Panics
    /// When a program refuses.
    #[must_use]
    pub fn pack(&self, sequence: u64) -> String {
        let out = format!("orders-{sequence}.sealift");
        let line = format!("pack --sequence {sequence} --environment trial --out {out} --key keys/carol");
        let _ = self.bundler(&line).expect(0);
        out
    }

    /// Reviews, packs and signs.
    #[must_use]
    pub fn release(&self, sequence: u64) -> String {
        self.review();
        self.pack(sequence)
    }

    /// How the trial host reaches its database.
    #[must_use]
    pub fn access(&self) -> String {
        match self.database.engine {
            Engine::Sqlite => format!("--url {}", self.database.url),
            _ => "--credentials credentials.sealed --identity keys/host".to_owned(),
        }
    }

    /// A command of `sealift-runner` for a bundle, as the trial host would run it.
    #[must_use]
    pub fn runner_command(&self, verb: &str, bundle: &str) -> Command {
        let (root, access) = (&self.root, self.access());
        let writes = matches!(verb.split(' ').next(), Some("apply" | "revert" | "rebind"));
        let audit = if writes { "--audit audit.jsonl" } else { "" };
        let line = format!(
            "{verb} --bundle {bundle} --trust trust --root-sha256 {root} --project orders --environment trial \
             --database main {access} {audit}"
        );
        Command::new("sealift-runner").folder(self.home()).line(&line)
    }

    /// Runs `sealift-runner` for a bundle.
    #[must_use]
    pub fn runner(&self, verb: &str, bundle: &str) -> Outcome {
        self.runner_command(verb, bundle).run()
    }

    /// The ids that the history says are applied, in order.
    #[must_use]
    pub fn applied(&self, bundle: &str) -> Vec<String> {
        let status = self.runner("status --json", bundle);
        let mut ids = Vec::new();
        for line in status.json_lines() {
            if line["type"] == "migration" && line["data"]["state"] == "applied" {
                ids.push(line["data"]["id"].as_str().expect("an id").to_owned());
            }
        }
        ids
    }
}

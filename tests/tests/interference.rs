//! Scripts that lay hands on the history: the change and its row commit together, or not at all.

use sealift_tests::server::{Engine, mariadb, postgresql, sqlite};
use sealift_tests::story::Story;

/// What a script can put between us and our table, engine by engine.
fn snares(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Postgresql => &[
            "CREATE RULE r AS ON INSERT TO sealift.history DO INSTEAD NOTHING;",
            "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;\n\
             CREATE TRIGGER t BEFORE INSERT ON sealift.history FOR EACH ROW EXECUTE FUNCTION public.f();",
            "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.body := 'x'; RETURN NEW; END $$;\n\
             CREATE TRIGGER t BEFORE INSERT ON sealift.history FOR EACH ROW EXECUTE FUNCTION public.f();",
            "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM sealift.history WHERE seq = NEW.seq; RETURN NULL; END $$;\n\
             CREATE CONSTRAINT TRIGGER t AFTER INSERT ON sealift.history DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.f();",
        ],
        Engine::Mariadb => &["CREATE TRIGGER t BEFORE INSERT ON sealift_history FOR EACH ROW SET NEW.body = 'x';"],
        Engine::Sqlite => &[
            "CREATE TRIGGER t AFTER INSERT ON sealift_history BEGIN DELETE FROM sealift_history WHERE seq = NEW.seq; END;",
            "CREATE TRIGGER t BEFORE INSERT ON sealift_history BEGIN SELECT RAISE(IGNORE); END;",
        ],
    }
}

#[test]
fn a_row_that_is_swallowed_or_changed_is_no_success() {
    let servers = [postgresql(), mariadb()];
    for engine in [Engine::Postgresql, Engine::Mariadb, Engine::Sqlite] {
        for snare in snares(engine) {
            let database = match engine {
                Engine::Sqlite => sqlite(),
                _ => servers.iter().find(|server| server.engine == engine).expect("a server").fresh_database(),
            };
            let story = Story::new(database);
            story.migration("1_first", "CREATE TABLE first (id INTEGER);", "DROP TABLE first;");
            story.migration("2_snare", snare, "SELECT 1;");
            story.migration("3_last", "CREATE TABLE last (id INTEGER);", "DROP TABLE last;");
            let bundle = story.release(1);
            let outcome = story.runner("apply", &bundle);
            assert_ne!(outcome.status, 0, "{snare}\n{}", outcome.text());
            assert!(!story.database.schema().contains("last"), "{snare}\n{}", outcome.text());
            // And what the history says is still true.
            if story.applied(&bundle).contains(&"1".to_owned()) {
                assert!(story.database.schema().contains("first"), "{snare}");
            }
        }
    }
}

#[test]
fn a_history_that_lost_its_end_is_noticed_by_the_host() {
    for database in [postgresql().fresh_database(), mariadb().fresh_database(), sqlite()] {
        let story = Story::new(database);
        story.three_migrations();
        let bundle = story.release(1);
        // In one run or in two: the first one does not know the database's id when it begins.
        if story.database.engine == Engine::Sqlite {
            let _ = story.runner("apply --steps 2", &bundle).expect(0);
        }
        let _ = story.runner("apply", &bundle).expect(0);
        let table = if story.database.engine == Engine::Postgresql { "sealift.history" } else { "sealift_history" };
        story.database.execute(&format!("DELETE FROM {table} WHERE seq > 3;"));
        let refused = story.runner("apply", &bundle).expect(1);
        assert!(refused.stderr.contains("the history ends before event"), "{}", refused.text());
        assert!(refused.stderr.contains("`rebind`"), "{}", refused.text());
    }
}

//! Rows J, D3 and D10: documents that are read alone. Whoever signs or pins them, they mean nothing or two things.

use sealift_spec::manifest::Flavour;

use super::{Form, Origin, Vector, base};
use crate::forge::{World, curve, public, replaced};

const SHAPE: (&str, &str) = ("JsonError::Shape", "");
const NOT_CANONICAL: (&str, &str) = ("JsonError::NotCanonical", "");

fn manifest() -> Vec<u8> {
    base().manifest.check().expect("parts that fit").write()
}

fn envelope() -> Vec<u8> {
    base().release_envelope().write()
}

fn policy() -> Vec<u8> {
    base().policy().write()
}

fn key() -> Vec<u8> {
    format!("{}\n", public("alice")).into_bytes()
}

fn unchanged(text: Vec<u8>) -> Vec<u8> {
    text
}

pub(super) fn vectors() -> Vec<Vector> {
    let mut vectors = json();
    vectors.extend(manifests());
    vectors.extend(envelopes());
    vectors.extend(policies());
    vectors.extend(keys());
    vectors
}

fn document(
    form: Form,
    text: fn() -> Vec<u8>,
    (name, row, about): (&'static str, &'static str, &'static str),
    (expect, cause): (&'static str, &'static str),
    edit: fn(Vec<u8>) -> Vec<u8>,
) -> Vector {
    Vector { name, form, row, about, expect, cause, origin: Origin::Text(text, edit) }
}

fn of_manifest(
    name: &'static str,
    row: &'static str,
    about: &'static str,
    expect: (&'static str, &'static str),
    edit: fn(Vec<u8>) -> Vec<u8>,
) -> Vector {
    document(Form::Manifest, manifest, (name, row, about), expect, edit)
}

fn good(form: Form, name: &'static str, about: &'static str, text: fn() -> Vec<u8>) -> Vector {
    document(form, text, (name, "-", about), ("accepted", ""), unchanged)
}

/// JSON itself, on the manifest: every document of ours goes through the same reader.
fn json() -> Vec<Vector> {
    vec![
        good(Form::Manifest, "accepted-manifest", "The manifest of the base.", manifest),
        good(Form::Manifest, "accepted-manifest-postgresql", "The manifest for PostgreSQL.", || {
            World::new(Flavour::Postgresql).manifest.check().expect("parts that fit").write()
        }),
        of_manifest("json-duplicate-key", "J1", "A key stands twice, with one value.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence":42,"sequence":42"#)
        }),
        of_manifest("json-duplicate-key-escaped", "J1", "A key stands twice, once with an escape.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence":42,"\u0073equence":41"#)
        }),
        of_manifest(
            "json-duplicate-key-in-map",
            "J1",
            "A setting of the baseline stands twice.",
            NOT_CANONICAL,
            |text| replaced(text, r#""trusted_schema":"1""#, r#""trusted_schema":"0","trusted_schema":"1""#),
        ),
        of_manifest("json-array-for-object", "J2", "The release is an array of its values.", NOT_CANONICAL, |text| {
            replaced(text, r#"{"name":"orders-42","sequence":42}"#, r#"["orders-42",42]"#)
        }),
        of_manifest("json-unknown-field", "J3", "A unit has a field that the format does not know.", SHAPE, |text| {
            replaced(text, r#""engine":"sqlite","flavour""#, r#""engine":"sqlite","fast":true,"flavour""#)
        }),
        of_manifest("json-case-of-field", "J3", "A field is written with a capital.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""Sequence":42"#)
        }),
        of_manifest("json-missing-field", "J3", "A field is missing.", SHAPE, |text| {
            replaced(text, r#","sequence":42"#, "")
        }),
        of_manifest("json-null", "J3", "A field that may be absent is null.", NOT_CANONICAL, |text| {
            replaced(text, r#""source":{"#, r#""source":{"commit":null,"#)
        }),
        of_manifest(
            "json-default-written",
            "J3",
            "A field that is left out when false is written.",
            NOT_CANONICAL,
            |text| replaced(text, r#""mode":"transaction","#, r#""mode":"transaction","notResumable":false,"#),
        ),
        of_manifest("json-fraction", "J4", "An integer is written 42.0.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence":42.0"#)
        }),
        of_manifest("json-exponent", "J4", "An integer is written 42e0.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence":42e0"#)
        }),
        of_manifest("json-negative-zero", "J4", "A zero is written -0.", SHAPE, |text| {
            replaced(text, r#""lockMs":3000"#, r#""lockMs":-0"#)
        }),
        of_manifest("json-leading-zero", "J4", "An integer is written 042.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence":042"#)
        }),
        of_manifest("json-plus", "J4", "An integer is written +42.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence":+42"#)
        }),
        of_manifest("json-integer-2-53", "J4", "The sequence is 2^53.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence":9007199254740992"#)
        }),
        of_manifest("json-integer-2-64", "J4", "The sequence is 2^64.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence":18446744073709551616"#)
        }),
        of_manifest("json-nan", "J4", "An integer is written NaN.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence":NaN"#)
        }),
        of_manifest("json-string-for-integer", "J4", "An integer is written as a string.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence":"42""#)
        }),
        of_manifest("json-depth", "J5", "An unknown field holds 200 nested arrays.", SHAPE, |text| {
            let nested = format!(r#""a":{}{},"baseline""#, "[".repeat(200), "]".repeat(200));
            replaced(text, r#""baseline""#, &nested)
        }),
        of_manifest("json-byte-order-mark", "J5", "A byte order mark stands first.", SHAPE, |text| {
            [b"\xef\xbb\xbf", &text[..]].concat()
        }),
        of_manifest("json-utf-16", "J5", "The text is UTF-16.", SHAPE, |text| {
            text.iter().flat_map(|byte| [*byte, 0]).collect()
        }),
        of_manifest("json-invalid-utf-8", "J5", "A string is not UTF-8.", SHAPE, |mut text| {
            let at = text.windows(9).position(|part| part == b"orders-42").expect("the name");
            text[at] = 0xff;
            text
        }),
        of_manifest("json-control-character", "J5", "A string holds a line feed.", SHAPE, |text| {
            replaced(text, "orders-42", "orders\n42")
        }),
        of_manifest("json-control-character-escaped", "J5", "A string holds an escaped line feed.", SHAPE, |text| {
            replaced(text, "orders-42", r"orders\n42")
        }),
        of_manifest("json-lone-surrogate", "J5", "A string holds half a character.", SHAPE, |text| {
            replaced(text, "orders-42", r"orders\ud800")
        }),
        of_manifest("json-escape", "J5", "A string is spelled with an escape.", NOT_CANONICAL, |text| {
            replaced(text, "orders-42", r"orders\u002d42")
        }),
        of_manifest("json-direction-override", "J5", "A label holds a right-to-left override.", SHAPE, |text| {
            replaced(text, "orders-42", "orders\u{202e}42")
        }),
        of_manifest("json-trailing-line-feed", "J5", "A line feed follows the document.", NOT_CANONICAL, |text| {
            [&text[..], b"\n"].concat()
        }),
        of_manifest("json-trailing-document", "J5", "A second document follows.", SHAPE, |text| {
            [&text[..], b"{}"].concat()
        }),
        of_manifest("json-white-space", "J5", "A blank follows a colon.", NOT_CANONICAL, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence": 42"#)
        }),
        of_manifest("json-comment", "J5", "There is a comment.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence":/**/42"#)
        }),
        of_manifest("json-order-of-keys", "J5", "Two keys stand in each other's place.", NOT_CANONICAL, |text| {
            replaced(text, r#""name":"orders-42","sequence":42"#, r#""sequence":42,"name":"orders-42""#)
        }),
        of_manifest("json-digest-upper-case", "J6", "A digest is written in capitals.", SHAPE, |text| {
            let digest = base().manifest.units[0].up.sha256.to_string();
            replaced(text, &digest, &digest.to_ascii_uppercase())
        }),
        of_manifest("json-digest-sha1", "J6", "A digest has forty digits.", SHAPE, |text| {
            let digest = base().manifest.units[0].up.sha256.to_string();
            replaced(text, &digest, &digest[..40])
        }),
    ]
}

/// What a manifest may not say.
fn manifests() -> Vec<Vector> {
    vec![
        of_manifest("manifest-schema", "D5", "The schema is a later version.", SHAPE, |text| {
            replaced(text, "urn:sealift:manifest:v1", "urn:sealift:manifest:v2")
        }),
        of_manifest("manifest-unit-repeated", "J7", "Two units have one id.", SHAPE, |text| {
            replaced(text, r#""id":"0002""#, r#""id":"0001""#)
        }),
        of_manifest("manifest-parent-unknown", "J7", "A unit's parent is not there.", SHAPE, |text| {
            replaced(text, r#""parents":["0001"]"#, r#""parents":["0000"]"#)
        }),
        of_manifest("manifest-parent-self", "J7", "A unit is its own parent.", SHAPE, |text| {
            replaced(text, r#""parents":["0001"]"#, r#""parents":["0002"]"#)
        }),
        of_manifest("manifest-parent-later", "J7", "A unit's parent comes after it.", SHAPE, |text| {
            replaced(text, r#""parents":[]"#, r#""parents":["0002"]"#)
        }),
        of_manifest("manifest-parent-repeated", "J7", "A unit names its parent twice.", SHAPE, |text| {
            replaced(text, r#""parents":["0001"]"#, r#""parents":["0001","0001"]"#)
        }),
        of_manifest("manifest-unit-of-other-project", "F6", "A unit is of another project.", SHAPE, |text| {
            replaced(text, r#""project":"orders","timeouts""#, r#""project":"billing","timeouts""#)
        }),
        of_manifest("manifest-unit-of-other-baseline", "F6", "A unit was made for other settings.", SHAPE, |text| {
            let digest = base().manifest.baseline.digest().to_string();
            replaced(text, &digest, &sealift_spec::Digest::of(b"other settings").to_string())
        }),
        of_manifest("manifest-engine-other", "F6", "The engine is not that of the flavour.", SHAPE, |text| {
            replaced(text, r#""engine":"sqlite","flavour""#, r#""engine":"mysql","flavour""#)
        }),
        of_manifest(
            "manifest-foreign-keys-missing",
            "J7",
            "A unit for SQLite leaves foreign keys open.",
            SHAPE,
            |text| replaced(text, r#""foreignKeys":false,"#, ""),
        ),
        of_manifest(
            "manifest-setting-unknown",
            "J7",
            "The baseline has a setting that does not exist.",
            SHAPE,
            |text| replaced(text, r#""trusted_schema":"1""#, r#""trusted_schema":"1","writable_schema":"1""#),
        ),
        of_manifest("manifest-setting-missing", "J7", "The baseline leaves a setting open.", SHAPE, |text| {
            replaced(text, r#","trusted_schema":"1""#, "")
        }),
        of_manifest("manifest-range-short", "J7", "The statements of a script end before it does.", SHAPE, |text| {
            let size = base().manifest.units[0].up.size;
            replaced(text, &format!(r#""end":{size}"#), &format!(r#""end":{}"#, size - 1))
        }),
        of_manifest("manifest-range-beyond", "J7", "The statements of a script end after it does.", SHAPE, |text| {
            let size = base().manifest.units[0].up.size;
            replaced(text, &format!(r#""end":{size}"#), &format!(r#""end":{}"#, size + 1))
        }),
        of_manifest("manifest-range-empty", "J7", "A statement is empty.", SHAPE, |text| {
            let size = base().manifest.units[0].up.size;
            let end = format!(r#"{{"end":{size},"kind":"ddl"}}"#);
            replaced(text, &end, &format!("{end},{end}"))
        }),
        of_manifest("manifest-range-backwards", "J7", "A statement ends before it begins.", SHAPE, |text| {
            let first = base().manifest.units[1].up.statements[0].end;
            replaced(text, &format!(r#""end":{first},"#), r#""end":9999,"#)
        }),
        of_manifest("manifest-target-unknown", "J7", "The target is not there.", SHAPE, |text| {
            replaced(text, r#""target":["0002"]"#, r#""target":["0003"]"#)
        }),
        of_manifest("manifest-target-none", "J7", "There is no target.", SHAPE, |text| {
            replaced(text, r#""target":["0002"]"#, r#""target":[]"#)
        }),
        of_manifest("manifest-target-below", "J7", "One target lies below another.", SHAPE, |text| {
            replaced(text, r#""target":["0002"]"#, r#""target":["0001","0002"]"#)
        }),
        of_manifest("manifest-lock-long", "J7", "The words for a lock are longer than a lock's.", SHAPE, |text| {
            let size = base().manifest.units[0].up.size;
            let lock = format!(r#""kind":"ddl","lock":"{}""#, "x".repeat(65));
            replaced(text, &format!(r#""end":{size},"kind":"ddl""#), &format!(r#""end":{size},{lock}"#))
        }),
        of_manifest("manifest-probe-nameless", "J7", "A probe names nothing.", SHAPE, |text| {
            let size = base().manifest.units[0].up.size;
            let probe = r#""kind":"ddl","probe":{"expect":"present","name":[],"object":"table"}"#;
            replaced(text, &format!(r#""end":{size},"kind":"ddl""#), &format!(r#""end":{size},{probe}"#))
        }),
        of_manifest(
            "manifest-group-of-statements",
            "J7",
            "A group stands in a script that runs by statements.",
            SHAPE,
            |text| {
                let text = replaced(text, r#""mode":"transaction""#, r#""mode":"statements""#);
                replaced(text, r#""kind":"ddl""#, r#""kind":"group""#)
            },
        ),
        of_manifest("manifest-sequence-zero", "F9", "The sequence is 0.", SHAPE, |text| {
            replaced(text, r#""sequence":42"#, r#""sequence":0"#)
        }),
        of_manifest("manifest-id-path", "T1", "A unit's id is a path.", SHAPE, |text| {
            replaced(text, r#""id":"0001""#, r#""id":"../0001""#)
        }),
    ]
}

fn envelopes() -> Vec<Vector> {
    let of_envelope =
        |name, row, about, expect, edit| document(Form::Envelope, envelope, (name, row, about), expect, edit);
    vec![
        good(Form::Envelope, "accepted-envelope", "The release envelope of the base.", envelope),
        of_envelope(
            "envelope-duplicate-key",
            "J1",
            "A signature names two keys.",
            ("EnvelopeError::Json", "JsonError::Shape"),
            |text| {
                replaced(
                    text,
                    r#"{"keyid":"#,
                    r#"{"keyid":"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","keyid":"#,
                )
            },
        ),
        of_envelope(
            "envelope-array",
            "J2",
            "A signature is an array of its values.",
            ("EnvelopeError::Json", "JsonError::NotCanonical"),
            |text| {
                let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
                let first = &value["signatures"][0];
                let array = serde_json::json!([first["keyid"], first["sig"]]).to_string();
                replaced(text, &first.to_string(), &array)
            },
        ),
        of_envelope(
            "envelope-no-signatures-field",
            "D1",
            "There is no field for signatures.",
            ("EnvelopeError::Json", "JsonError::Shape"),
            |text| {
                let end = text.windows(13).position(|part| part == br#","signatures""#).expect("signatures");
                [&text[..end], b"}"].concat()
            },
        ),
        of_envelope(
            "envelope-key-id-of-tuf",
            "D2",
            "A key is named by 64 hexadecimal digits.",
            ("EnvelopeError::Json", "JsonError::Shape"),
            |text| {
                let id = public("carol").id().to_string();
                replaced(text, &id, &sealift_spec::root::tuf_key_id(&public("carol")).to_string())
            },
        ),
    ]
}

fn policies() -> Vec<Vector> {
    let of_policy = |name, row, about, expect, edit| document(Form::Policy, policy, (name, row, about), expect, edit);
    vec![
        good(Form::Policy, "accepted-policy", "The policy of the base.", policy),
        of_policy(
            "policy-people-zero",
            "D3",
            "An environment asks a role for nobody.",
            ("PolicyError::Unmeetable", ""),
            |text| replaced(text, r#""people":1"#, r#""people":0"#),
        ),
        of_policy(
            "policy-people-too-many",
            "D3",
            "An environment asks for more people than hold the role.",
            ("PolicyError::Unmeetable", ""),
            |text| replaced(text, r#""people":2"#, r#""people":9"#),
        ),
        of_policy(
            "policy-people-negative",
            "D3",
            "An environment asks for minus one person.",
            ("PolicyError::Json", "JsonError::Shape"),
            |text| replaced(text, r#""people":2"#, r#""people":-1"#),
        ),
        of_policy(
            "policy-role-unknown",
            "D3",
            "An environment asks a role that is not there.",
            ("PolicyError::UnknownRole", ""),
            |text| replaced(text, r#""role":"review""#, r#""role":"dba""#),
        ),
        of_policy(
            "policy-role-of-stranger",
            "D3",
            "A role is held by somebody who is not among the people.",
            ("PolicyError::UnknownPerson", ""),
            |text| {
                replaced(
                    text,
                    r#"["carol@example.com","ci@example.com"]"#,
                    r#"["carol@example.com","mallory@example.com"]"#,
                )
            },
        ),
        of_policy(
            "policy-role-may-not-sign",
            "D6",
            "An environment asks reviewers for releases, which they may not sign.",
            ("PolicyError::UnknownRole", ""),
            |text| {
                replaced(text, r#""role":"release","statement":"release""#, r#""role":"review","statement":"release""#)
            },
        ),
        of_policy("policy-key-shared", "D2", "Two people have one key.", ("PolicyError::SharedKey", ""), |text| {
            replaced(text, &public("ci").to_string(), &public("carol").to_string())
        }),
        of_policy(
            "policy-person-twice",
            "J1",
            "A person stands twice, first with one key, then with another.",
            ("PolicyError::Json", "JsonError::NotCanonical"),
            |text| {
                let entry = format!(r#""erin@example.com":{{"keys":["{}"],"kind":"human"}}"#, public("erin"));
                let other = format!(r#""erin@example.com":{{"keys":["{}"],"kind":"human"}}"#, public("mallory"));
                replaced(text, &entry, &format!("{entry},{other}"))
            },
        ),
        of_policy("policy-schema", "D5", "The schema is a later version.", ("PolicyError::Schema", ""), |text| {
            replaced(text, "urn:sealift:policy:v1", "urn:sealift:policy:v2")
        }),
        of_policy(
            "policy-unknown-predicate",
            "J3",
            "The policy lets a role sign something that does not exist.",
            ("PolicyError::Json", "JsonError::Shape"),
            |text| replaced(text, r#""predicates":{"#, r#""predicates":{"blessing":["review"],"#),
        ),
    ]
}

fn keys() -> Vec<Vector> {
    let of_key = |name, row, about, expect, edit| document(Form::Key, key, (name, row, about), (expect, ""), edit);
    vec![
        good(Form::Key, "accepted-key", "Alice's public key.", key),
        of_key("key-neutral", "E2", "The key is the neutral element.", "KeyWeakness::SmallOrder", |_| {
            line(curve::neutral())
        }),
        of_key(
            "key-neutral-other-spelling",
            "E4",
            "The key is the neutral element with y = p + 1.",
            "KeyWeakness::SmallOrder",
            |_| line(curve::neutral_other_spelling()),
        ),
        of_key("key-order-two", "E2", "The key is the point of order two.", "KeyWeakness::SmallOrder", |_| {
            line(curve::order_two_key())
        }),
        of_key("key-mixed-order", "E3", "The key has a component of order two.", "KeyWeakness::MixedOrder", |_| {
            line(curve::mixed("alice"))
        }),
        of_key("key-no-point", "E4", "The key is no point of the curve.", "KeyWeakness::NotAPoint", |_| {
            line(curve::no_point())
        }),
        of_key("key-private", "D10", "The file is a private key.", "KeyError::Private", |_| {
            b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
                .to_vec()
        }),
        of_key("key-security-key", "D10", "The key is a FIDO security key.", "KeyError::SecurityKey", |text| {
            replaced(text, "ssh-ed25519 ", "sk-ssh-ed25519@openssh.com ")
        }),
        of_key("key-certificate", "D10", "The key is a certificate.", "KeyError::Certificate", |text| {
            replaced(text, "ssh-ed25519 ", "ssh-ed25519-cert-v01@openssh.com ")
        }),
        of_key("key-rsa", "D10", "The key is called RSA.", "KeyError::Algorithm", |text| {
            replaced(text, "ssh-ed25519 ", "ssh-rsa ")
        }),
        of_key("key-ecdsa", "D10", "The key is called ECDSA.", "KeyError::Algorithm", |text| {
            replaced(text, "ssh-ed25519 ", "ecdsa-sha2-nistp256 ")
        }),
        of_key("key-pem", "D10", "The file is a public key in PEM form.", "KeyError::Form", |_| {
            b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n".to_vec()
        }),
        of_key("key-private-pem", "D10", "The file is a private key in PEM form.", "KeyError::Private", |_| {
            b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIE\n-----END PRIVATE KEY-----\n".to_vec()
        }),
        of_key(
            "key-other-algorithm-inside",
            "D10",
            "The line says Ed25519, the key inside RSA.",
            "KeyError::Form",
            |_| {
                use base64::Engine as _;
                let mut blob = public("alice").to_blob();
                blob[4..15].copy_from_slice(b"ssh-rsa\0\0\0\0");
                format!("ssh-ed25519 {}\n", base64::engine::general_purpose::STANDARD.encode(blob)).into_bytes()
            },
        ),
        of_key("key-with-options", "D10", "Options stand before the key.", "KeyError::Form", |text| {
            [b"no-pty ", &text[..]].concat()
        }),
        of_key("key-two-lines", "D10", "There are two keys.", "KeyError::Form", |text| {
            [&text[..], format!("{}\n", public("bob")).as_bytes()].concat()
        }),
        of_key("key-short", "D10", "The key has 31 bytes and says 32.", "KeyError::Form", |_| {
            use base64::Engine as _;
            let blob = &public("alice").to_blob()[..50];
            format!("ssh-ed25519 {}\n", base64::engine::general_purpose::STANDARD.encode(blob)).into_bytes()
        }),
    ]
}

fn line(key: sealift_spec::key::PublicKey) -> Vec<u8> {
    format!("{key}\n").into_bytes()
}

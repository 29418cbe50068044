//! The database drivers know no certificate authority but the one in the credentials.

#[test]
fn no_public_authority_is_trusted() {
    assert!(webpki_roots::TLS_SERVER_ROOTS.is_empty(), "the list of `runner/roots` is not the one that was built");
}

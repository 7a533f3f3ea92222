#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn member(id: &str) -> MemberId {
    id.parse().unwrap()
}

#[cfg(unix)]
fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn keys_that_were_made_load_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("keys");
    let mut made = Keys::create(&folder, &member("vet-1"), true).unwrap();
    made.add_record_key(&folder, &member("rs-de")).unwrap();
    let loaded = Keys::load(&folder).unwrap();
    assert_eq!(loaded.network, made.network);
    assert_eq!(loaded.record, made.record);
    assert_eq!(loaded.validator.unwrap().log, made.validator.unwrap().log);
    assert_eq!(loaded.record.keys().map(MemberId::as_str).collect::<Vec<_>>(), ["rs-de", "vet-1"]);
}

#[test]
fn an_observer_has_no_validator_keys_and_half_a_set_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("keys");
    Keys::create(&folder, &member("a"), false).unwrap();
    assert!(Keys::load(&folder).unwrap().validator.is_none());
    save(&folder.join("log.pem"), &generate().unwrap()).unwrap();
    let error = Keys::load(&folder).unwrap_err().to_string();
    assert!(error.contains("consensus.pem is missing"), "{error}");
}

#[test]
fn keys_are_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record-a-1.pem");
    fs::write(&path, "precious").unwrap();
    let error = Keys::create(folder.path(), &member("a"), true).unwrap_err();
    assert!(matches!(error, KeyError::Exists(_)), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert!(!folder.path().join("network.pem").exists());
    assert!(matches!(save(&path, &generate().unwrap()), Err(KeyError::Exists(_))));
}

#[cfg(unix)]
#[test]
fn keys_are_the_owners_only_and_open_ones_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("keys");
    Keys::create(&folder, &member("a"), true).unwrap();
    assert_eq!(mode_of(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        assert_eq!(mode_of(&entry.unwrap().path()), 0o600);
    }
    for mode in [0o640, 0o604, 0o620, 0o666] {
        let path = folder.join("network.pem");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Keys::load(&folder).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}

/// Written by `openssl genpkey -algorithm ed25519` (RFC 8410, section 10.3, has the same form).
const OPENSSL: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";
/// Its public half: the example of RFC 8410, section 10.1.
const OPENSSL_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PUBLIC KEY-----\n";

#[test]
fn keys_of_openssl_load_and_ours_look_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    files::create(&path, OPENSSL.as_bytes(), true).unwrap();
    let key = load(&path).unwrap();
    assert_eq!(public_text(&key.verifying_key()), "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=");
    assert_eq!(to_pem(&key).unwrap().as_str(), OPENSSL);
    let public = folder.path().join("public.pem");
    fs::write(&public, OPENSSL_PUBLIC).unwrap();
    for path in [&public, &path] {
        assert_eq!(load_record_public(path).unwrap(), key.verifying_key().into());
    }
    assert_eq!(load_record(&path).unwrap(), key.into());
}

/// Written by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`
/// (in form; the secret is the bytes 01 02 … 20, as in docs/vectors/record_es256.json).
const OPENSSL_P256: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAQIDBAUGBwgJCgsM\n\
    DQ4PEBESExQVFhcYGRobHB0eHyChRANCAARRXD1uueOWuQTT/sp/VP3NDMHpl783\n\
    XcpRWtCmw7QDX0U2vjpQ8xj7+aVHWQKiIVAr7w1X4IxTsswKVvF9n5NU\n\
    -----END PRIVATE KEY-----\n";
/// Its public half, by `openssl pkey -pubout`.
const OPENSSL_P256_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUVw9brnjlrkE0/7Kf1T9zQzB6Ze/\n\
    N13KUVrQpsO0A19FNr46UPMY+/mlR1kCoiFQK+8NV+CMU7LMClbxfZ+TVA==\n\
    -----END PUBLIC KEY-----\n";
/// The same secret key in the form of SEC 1, as older tools write it.
const OPENSSL_P256_SEC1: &str = "-----BEGIN EC PRIVATE KEY-----\n\
    MHcCAQEEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8goAoGCCqGSM49\n\
    AwEHoUQDQgAEUVw9brnjlrkE0/7Kf1T9zQzB6Ze/N13KUVrQpsO0A19FNr46UPMY\n\
    +/mlR1kCoiFQK+8NV+CMU7LMClbxfZ+TVA==\n\
    -----END EC PRIVATE KEY-----\n";
/// A key of another curve, P-384.
const OPENSSL_P384: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDA04vQ2/KGgmV98vVyZ\n\
    i79Y4A65QpqQNsEF7UMEki00qosVolUuGkoW2Nbz4WzhZ+mhZANiAARNlEZvS77v\n\
    YojTvfV1u2Rb768y2P/sYzl5XEteXw3Djf8Ey+YHHkojYf5Pmb9ogW2hfYCH/1Ut\n\
    c21hA748U58EKDQZ+0+4igrkTrB2P0OEWbKuVXwlcZtPl3z9UzWJo6k=\n\
    -----END PRIVATE KEY-----\n";

#[test]
fn record_keys_of_openssl_may_be_p256_and_ours_look_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    files::create(&path, OPENSSL_P256.as_bytes(), true).unwrap();
    let key = load_record(&path).unwrap();
    assert_eq!(key.public().to_string(), "AlFcPW6545a5BNP+yn9U/c0MwemXvzddylFa0KbDtANf");
    assert_eq!(record_to_pem(&key).unwrap().as_str(), OPENSSL_P256);
    let public = folder.path().join("public.pem");
    fs::write(&public, OPENSSL_P256_PUBLIC).unwrap();
    for path in [&public, &path] {
        assert_eq!(load_record_public(path).unwrap(), key.public());
    }
    // No other purpose than records.
    assert!(matches!(load(&path), Err(KeyError::NotAKey(_))));
}

#[test]
fn a_node_holds_record_keys_of_either_algorithm_and_checks_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("keys");
    let made = Keys::create_with(&folder, &member("hsm"), true, Algorithm::Es256).unwrap();
    let loaded = Keys::load(&folder).unwrap();
    assert_eq!(loaded.record, made.record);
    let (id, key) = &loaded.record[&member("hsm")];
    assert!(matches!(key, RecordSecretKey::Es256(_)));
    let membership = |public| {
        let key = quittance_ledger::membership::RecordKey { id: id.clone(), public };
        let member = quittance_ledger::membership::Member {
            id: member("hsm"),
            name: "HSM".to_owned(),
            role: quittance_ledger::membership::Role::Broker,
            time_zone: None,
            keys: vec![key],
            validator: None,
            observer: None,
        };
        let origin = "ledger.example/q".parse().unwrap();
        let genesis = quittance_ledger::membership::Genesis::from_members(origin, vec![member]);
        Membership::from_genesis(&genesis.unwrap())
    };
    loaded.check(&membership(key.public())).unwrap();
    for algorithm in Algorithm::ALL {
        let other = generate_record(algorithm).unwrap().public();
        let error = loaded.check(&membership(other)).unwrap_err();
        assert!(matches!(error, KeyError::NotInGenesis { .. }), "{error}");
    }
}

#[test]
fn files_that_are_no_key_say_so() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("empty", ""),
        ("text", "hello"),
        ("public", OPENSSL_PUBLIC),
        ("cut", &OPENSSL[..60]),
        ("cut P-256", &OPENSSL_P256[..150]),
        ("public P-256", OPENSSL_P256_PUBLIC),
        ("SEC 1", OPENSSL_P256_SEC1),
        ("P-384", OPENSSL_P384),
    ] {
        let path = folder.path().join(name);
        files::create(&path, text.as_bytes(), true).unwrap();
        assert!(matches!(load(&path), Err(KeyError::NotAKey(_))), "{name}");
        assert!(matches!(load_record(&path), Err(KeyError::NotARecordKey(_))), "{name}");
    }
}

#[test]
fn names_of_record_keys_tell_member_and_key() {
    let parse = |name: &str| parse_record_file(Path::new(name));
    let (member, id) = parse("keys/record-vet-1-k2.pem").unwrap().unwrap();
    assert_eq!((member.as_str(), id.as_str()), ("vet-1", "k2"));
    assert!(parse("keys/network.pem").unwrap().is_none());
    assert!(parse("keys/record-vet-1-k2.pem.bak").unwrap().is_none());
    assert!(parse("keys/record-vet.pem").is_err());
    assert!(parse("keys/record-Vet-1.pem").is_err());
}

#[test]
fn peer_ids_are_those_of_libp2p() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let mut secret = [7; 32];
    let other = libp2p::identity::Keypair::ed25519_from_bytes(&mut secret).unwrap();
    assert_eq!(peer_id(&key.verifying_key()), Some(other.public().to_peer_id().to_string()));
}

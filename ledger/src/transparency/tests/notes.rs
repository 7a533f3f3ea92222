use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::VerifyingKey;
use proptest::prelude::*;

use super::{Consortium, TIME_S, checkpoint, ids, key, origin};
use crate::{
    digest::Digest,
    limits::CHECKPOINT_BYTES_MAX,
    transparency::{
        AssembleError, COSIGNATURE_TIME_MAX_S, Checkpoint, Cosigner, FormatError, FormatReason,
        KeyKind, LogSigner, NoteSignature, SIGNATURES_MAX, SignedCheckpoint, VerifierKey,
        VerifierKeyError, cosignature_message, verify_cosignature, verify_log_signature,
    },
};

/// C2SP signed-note, "Verifier keys", example.
const SPECIFICATION_KEY: &str =
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPECIFICATION_NOTE: &str = "This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
";

/// C2SP tlog-cosignature, first example; C2SP tlog-checkpoint's is its first four lines.
const SPECIFICATION_CHECKPOINT: &str = "example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
";

#[test]
fn the_note_of_the_specification_verifies() {
    let key: VerifierKey = SPECIFICATION_KEY.parse().unwrap();
    assert_eq!(key.to_string(), SPECIFICATION_KEY);
    assert_eq!(
        (key.name(), key.key_id(), key.kind()),
        ("example.com/foo", 0x530d_903a, KeyKind::Log)
    );
    let verify = |note: &str| {
        let note = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
        note.verify(&signed_note::VerifierList::new(vec![Box::new(key.clone())])).is_ok()
    };
    assert!(verify(SPECIFICATION_NOTE));
    assert!(!verify(&SPECIFICATION_NOTE.replace("message", "massage")));
}

#[test]
fn the_checkpoint_of_the_specification_reads_back() {
    let signed = SignedCheckpoint::parse(SPECIFICATION_CHECKPOINT.as_bytes()).unwrap();
    assert_eq!(signed.to_text(), SPECIFICATION_CHECKPOINT);
    assert_eq!(signed.checkpoint().origin.as_str(), "example.com/behind-the-sofa");
    assert_eq!(signed.checkpoint().size, 20_852_163);
    let [log, witness] = signed.signatures() else { panic!("two signatures") };
    assert_eq!((log.name(), log.id()), ("example.com/behind-the-sofa", 0x033d_e0ae));
    assert_eq!(witness.name(), "witness.example.com/w1");
    // The time that the specification's cosigned message shows.
    assert_eq!(witness.signature()[..8], 1_679_315_147_u64.to_be_bytes());
    assert_eq!(
        String::from_utf8(cosignature_message(signed.checkpoint(), 1_679_315_147)).unwrap(),
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
         CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    );
}

#[test]
fn a_checkpoint_body_has_one_spelling() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let parse = |text: &str| Checkpoint::parse(text.as_bytes());
    let good = parse(&format!("a\n0\n{root}\n")).unwrap();
    assert_eq!(good.body(), format!("a\n0\n{root}\n"));
    let bad = [
        (String::new(), 1, FormatReason::Missing("the origin and a newline")),
        (format!("\n0\n{root}\n"), 1, FormatReason::Origin),
        (format!("a b\n0\n{root}\n"), 1, FormatReason::Origin),
        (format!("a+b\n0\n{root}\n"), 1, FormatReason::Origin),
        (format!("{}\n0\n{root}\n", "a".repeat(129)), 1, FormatReason::Origin),
        (format!("a\n00\n{root}\n"), 2, FormatReason::Decimal),
        (format!("a\n07\n{root}\n"), 2, FormatReason::Decimal),
        (format!("a\n\n{root}\n"), 2, FormatReason::Decimal),
        (format!("a\n18446744073709551616\n{root}\n"), 2, FormatReason::Decimal),
        ("a\n1\nAAAA\n".to_owned(), 3, FormatReason::Hash),
        (format!("a\n1\n{}\n", root.replace('=', "")), 3, FormatReason::Hash),
        (format!("a\n1\n{root}"), 3, FormatReason::Missing("the root hash and a newline")),
        (format!("a\n1\n{root}\n\n"), 4, FormatReason::Extension),
        (format!("a\n1\n{root}\nextension\n"), 4, FormatReason::Extension),
        (format!("a\r\n1\n{root}\n"), 1, FormatReason::ControlCharacter(13)),
        (format!("a\n1\t\n{root}\n"), 2, FormatReason::ControlCharacter(9)),
    ];
    for (text, line, reason) in bad {
        assert_eq!(parse(&text), Err(FormatError { line, reason }), "{text:?}");
    }
}

#[test]
fn a_signed_note_has_one_spelling() {
    let body = "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let parse = |text: &str| SignedCheckpoint::parse(text.as_bytes());
    parse(&format!("{body}\n— name AAAAAAA=\n")).unwrap();
    let missing = FormatReason::Missing("a blank line and at least one signature line");
    let bad = [
        (body.to_owned(), 4, missing.clone()),
        (format!("{body}\n"), 5, missing),
        (format!("{body}\n— name AAAAAAA="), 5, FormatReason::Missing("a newline")),
        (format!("{body}\n- name AAAAAAA=\n"), 5, FormatReason::Signature),
        (format!("{body}\n—  name AAAAAAA=\n"), 5, FormatReason::Signature),
        (format!("{body}\n— name  AAAAAAA=\n"), 5, FormatReason::Signature),
        (format!("{body}\n— name AAAAAAA= \n"), 5, FormatReason::Signature),
        (format!("{body}\n— na+me AAAAAAA=\n"), 5, FormatReason::Signature),
        (format!("{body}\n— na\u{a0}me AAAAAAA=\n"), 5, FormatReason::Signature),
        (format!("{body}\n— name AAAAAA==\n"), 5, FormatReason::Signature),
        (format!("{body}\n— name AAAAAAB=\n"), 5, FormatReason::Signature),
        (format!("{body}\n— name AAAAAAA\n"), 5, FormatReason::Signature),
        (format!("{body}\n— name AAAA_AA=\n"), 5, FormatReason::Signature),
        (format!("{body}\n— name \n"), 5, FormatReason::Signature),
        (format!("{body}\n— name AAAAAAA=\nrest\n"), 6, FormatReason::Signature),
        (format!("{body}\n\n— name AAAAAAA=\n"), 4, FormatReason::Extension),
        (format!("{body}more\n\n— name AAAAAAA=\n"), 4, FormatReason::Extension),
    ];
    for (text, line, reason) in bad {
        assert_eq!(parse(&text), Err(FormatError { line, reason }), "{text:?}");
    }
}

#[test]
fn a_note_without_bound_is_not_read() {
    let body = "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let lines = |count: usize| format!("{body}\n{}", "— name AAAAAAA=\n".repeat(count));
    assert!(SignedCheckpoint::parse(lines(SIGNATURES_MAX).as_bytes()).is_ok());
    assert_eq!(
        SignedCheckpoint::parse(lines(SIGNATURES_MAX + 1).as_bytes()).unwrap_err().reason,
        FormatReason::TooManySignatures(SIGNATURES_MAX)
    );
    let long = format!("{body}\n— {} AAAAAAA=\n", "n".repeat(CHECKPOINT_BYTES_MAX));
    assert!(matches!(
        SignedCheckpoint::parse(long.as_bytes()).unwrap_err().reason,
        FormatReason::TooLarge { .. }
    ));
}

#[test]
fn a_checkpoint_is_assembled_from_what_a_store_keeps() {
    let consortium = Consortium::new(&["a", "b", "c", "d"]);
    let signed = consortium.sign(&checkpoint(&ids(7)), &[0, 1, 3]);
    let read = SignedCheckpoint::parse(&signed.to_bytes()).unwrap();
    assert_eq!(read, signed);

    let log = consortium.logs[0].verifier_key();
    let kept: Vec<_> = consortium
        .validators
        .iter()
        .filter_map(|validator| {
            let (time_s, signature) = read.cosignature(&validator.cosigner)?;
            Some((&validator.cosigner, time_s, signature))
        })
        .collect();
    assert_eq!(kept.len(), 3);
    let log_signature = read.log_signature(log).unwrap();
    let again = SignedCheckpoint::assemble(read.checkpoint().clone(), (log, log_signature), &kept);
    assert_eq!(again.unwrap().to_bytes(), signed.to_bytes());

    // Asked for with the wrong kind of key, there is nothing.
    assert_eq!(read.cosignature(log), None);
    assert_eq!(read.log_signature(&consortium.validators[0].cosigner), None);
    assert_eq!(read.log_signature(consortium.logs[1].verifier_key()), None);
}

#[test]
fn a_signature_that_readers_would_refuse_is_not_added() {
    let consortium = Consortium::new(&["a", "b"]);
    let mut signed = consortium.sign(&checkpoint(&ids(7)), &[0]);
    let before = signed.clone();
    let (log, cosigner) = (consortium.logs[0].verifier_key(), &consortium.validators[1].cosigner);
    let other = LogSigner::new(&"other".parse().unwrap(), key(9)).unwrap();
    let none = [0; 64];
    assert!(matches!(signed.add_log_signature(log, &none), Err(AssembleError::Repeated { .. })));
    assert!(matches!(signed.add_log_signature(cosigner, &none), Err(AssembleError::Kind { .. })));
    assert!(matches!(signed.add_cosignature(log, 0, &none), Err(AssembleError::Kind { .. })));
    assert!(matches!(
        signed.add_log_signature(other.verifier_key(), &none),
        Err(AssembleError::LogName { .. })
    ));
    assert!(matches!(
        signed.add_cosignature(cosigner, COSIGNATURE_TIME_MAX_S + 1, &none),
        Err(AssembleError::Time { .. })
    ));
    assert!(matches!(
        signed.add_cosignature(&consortium.validators[0].cosigner, TIME_S, &none),
        Err(AssembleError::Repeated { .. })
    ));
    let long = NoteSignature::new("n".repeat(CHECKPOINT_BYTES_MAX), 1, vec![0]).unwrap();
    assert_eq!(signed.add_signature(long), Err(AssembleError::TooLarge));
    assert_eq!(signed, before);

    for number in 0..98 {
        signed.add_signature(NoteSignature::new("n".into(), number, vec![0]).unwrap()).unwrap();
    }
    let one_more = NoteSignature::new("n".into(), 98, vec![0]).unwrap();
    assert_eq!(signed.add_signature(one_more), Err(AssembleError::TooLarge));
    assert!(SignedCheckpoint::parse(&signed.to_bytes()).is_ok());
}

#[test]
fn a_signature_is_for_one_checkpoint_and_time() {
    let consortium = Consortium::new(&["a"]);
    let (log, cosigner) = (&consortium.logs[0], &consortium.cosigners[0]);
    let checkpoint = checkpoint(&ids(7));
    let mut other = checkpoint.clone();
    other.size = 8;
    let signature = log.sign(&checkpoint);
    assert!(verify_log_signature(log.verifier_key(), &checkpoint, &signature));
    assert!(!verify_log_signature(log.verifier_key(), &other, &signature));
    assert!(!verify_log_signature(cosigner.verifier_key(), &checkpoint, &signature));
    let mut elsewhere = checkpoint.clone();
    elsewhere.origin = "other".parse().unwrap();
    assert!(!verify_log_signature(log.verifier_key(), &elsewhere, &log.sign(&elsewhere)));

    let signature = cosigner.cosign(&checkpoint, TIME_S);
    let key = cosigner.verifier_key();
    assert!(verify_cosignature(key, &checkpoint, TIME_S, &signature));
    assert!(!verify_cosignature(key, &checkpoint, TIME_S + 1, &signature));
    assert!(!verify_cosignature(key, &other, TIME_S, &signature));
    assert!(!verify_cosignature(log.verifier_key(), &checkpoint, TIME_S, &signature));
    let latest = cosigner.cosign(&checkpoint, COSIGNATURE_TIME_MAX_S);
    assert!(verify_cosignature(key, &checkpoint, COSIGNATURE_TIME_MAX_S, &latest));
    let beyond = cosigner.cosign(&checkpoint, COSIGNATURE_TIME_MAX_S + 1);
    assert!(!verify_cosignature(key, &checkpoint, COSIGNATURE_TIME_MAX_S + 1, &beyond));
}

#[test]
fn signers_do_not_show_their_keys() {
    let log = LogSigner::new(&origin(), key(1)).unwrap();
    let cosigner = Cosigner::new("a", key(2)).unwrap();
    assert_eq!(format!("{log:?}"), format!("LogSigner({})", log.verifier_key()));
    assert_eq!(format!("{cosigner:?}"), format!("Cosigner({})", cosigner.verifier_key()));
    assert_eq!(Cosigner::new("a b", key(2)).unwrap_err(), VerifierKeyError::Name);
}

#[test]
fn a_verifier_key_has_one_spelling() {
    let parse = |text: &str| text.parse::<VerifierKey>();
    let good = SPECIFICATION_KEY;
    let material = "AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let typed = |byte: u8, bytes: &[u8]| {
        let encoded = [&[byte], bytes].concat();
        let id = signed_note::key_id("n", &encoded);
        format!("n+{id:08x}+{}", STANDARD.encode(encoded))
    };
    let point = *key(1).verifying_key().as_bytes();
    assert!(parse(&typed(4, &point)).is_ok());
    let bad = [
        ("".to_owned(), VerifierKeyError::Format),
        ("example.com/foo".to_owned(), VerifierKeyError::Format),
        (format!("example.com/foo+{material}"), VerifierKeyError::Format),
        (good.replace("530d903a", "530D903A"), VerifierKeyError::Format),
        (good.replace("530d903a", "30d903a"), VerifierKeyError::Format),
        (good.replace("530d903a", "+30d903a"), VerifierKeyError::Format),
        (format!("{good} "), VerifierKeyError::Format),
        (format!("{good}=="), VerifierKeyError::Format),
        (good.replace("530d903a", "530d903b"), VerifierKeyError::Id),
        (good.replace("foo", "bar"), VerifierKeyError::Id),
        (good.replace("example.com/foo", ""), VerifierKeyError::Name),
        (good.replace("/foo", " foo"), VerifierKeyError::Name),
        (typed(6, &[0; 1312]), VerifierKeyError::Kind(6)),
        (typed(1, &point[1..]), VerifierKeyError::Format),
        ("n+00000000+".to_owned(), VerifierKeyError::Format),
        (typed(1, &[0; 32]), VerifierKeyError::Key),
        (typed(1, &[2; 32]), VerifierKeyError::Key),
    ];
    for (text, error) in bad {
        assert_eq!(parse(&text), Err(error), "{text:?}");
    }
    assert_eq!(
        VerifierKey::new("a+b", KeyKind::Log, key(1).verifying_key()),
        Err(VerifierKeyError::Name)
    );
    assert_eq!(
        VerifierKey::new("a\u{7f}", KeyKind::Log, key(1).verifying_key()),
        Err(VerifierKeyError::Name)
    );
    let json = serde_json::to_string(&parse(good).unwrap()).unwrap();
    assert_eq!(json, format!("\"{good}\""));
    assert_eq!(serde_json::from_str::<VerifierKey>(&json).unwrap().to_string(), good);
}

/// A field element at or above the prime is a second spelling of a small one.
#[test]
fn a_key_in_a_second_encoding_is_refused() {
    let mut found = 0;
    for low in 0xED..=0xFF_u8 {
        for high in [0x7F, 0xFF_u8] {
            let mut bytes = [0xFF; 32];
            bytes[0] = low;
            bytes[31] = high;
            if let Ok(public) = VerifyingKey::from_bytes(&bytes) {
                found += 1;
                assert_eq!(VerifierKey::new("n", KeyKind::Log, public), Err(VerifierKeyError::Key));
            }
        }
    }
    assert!(found > 0);
}

proptest! {
    /// What is read is written again, byte by byte, and no bytes panic.
    #[test]
    fn a_note_that_is_read_is_written_the_same(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = SPECIFICATION_CHECKPOINT.as_bytes().to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(signed) = SignedCheckpoint::parse(&bytes) {
            prop_assert_eq!(signed.to_bytes(), bytes);
        }
    }

    #[test]
    fn any_checkpoint_reads_back(size in any::<u64>(), root in any::<[u8; 32]>()) {
        let checkpoint = Checkpoint { origin: origin(), size, root: Digest::from_bytes(root) };
        prop_assert_eq!(Checkpoint::parse(checkpoint.body().as_bytes()), Ok(checkpoint));
    }
}

use proptest::prelude::*;

use super::{Consortium, TIME_S, checkpoint, ids, key, origin};
use crate::{
    limits::POLICY_BYTES_MAX,
    transparency::{
        Cosigner, KeyKind, LogSigner, NoteSignature, Policy, PolicyFault, PolicyReason,
        SignedCheckpoint, VerifierKeyError,
    },
};

fn log_vkey(seed: u8) -> String {
    LogSigner::new(&origin(), key(seed)).unwrap().verifier_key().to_string()
}

fn witness_vkey(seed: u8) -> String {
    Cosigner::new(format!("w{seed}.example"), key(seed)).unwrap().verifier_key().to_string()
}

/// Fills `L<n>` and `W<n>` with keys.
fn fill(text: &str) -> String {
    let words = text.split_inclusive([' ', '\n', '\t']).map(|word| {
        let (bare, end) = word.split_at(word.trim_end().len());
        let seed = bare.get(1..).and_then(|seed| seed.parse().ok());
        match (bare.chars().next(), seed) {
            (Some('L'), Some(seed)) => log_vkey(seed) + end,
            (Some('W'), Some(seed)) => witness_vkey(seed) + end,
            _ => word.to_owned(),
        }
    });
    words.collect()
}

fn parse(text: &str) -> Result<Policy, (usize, PolicyReason)> {
    Policy::parse(fill(text).as_bytes()).map_err(|error| (error.line, error.reason))
}

/// A checkpoint signed by log 1 and cosigned by those witnesses.
fn signed(witnesses: &[u8]) -> SignedCheckpoint {
    let checkpoint = checkpoint(&ids(5));
    let log = LogSigner::new(&origin(), key(1)).unwrap();
    let cosigners: Vec<_> = witnesses
        .iter()
        .map(|seed| Cosigner::new(format!("w{seed}.example"), key(*seed)).unwrap())
        .collect();
    let cosignatures: Vec<_> = cosigners
        .iter()
        .map(|cosigner| (cosigner.verifier_key(), TIME_S, cosigner.cosign(&checkpoint, TIME_S)))
        .collect();
    let log = (log.verifier_key(), log.sign(&checkpoint));
    SignedCheckpoint::assemble(checkpoint.clone(), log, &cosignatures).unwrap()
}

fn holds(policy: &str, witnesses: &[u8]) -> bool {
    parse(policy).unwrap().check(&signed(witnesses)).holds()
}

/// C2SP tlog-policy, "Example policy".
const SPECIFICATION: &str = "log L1

witness X1 W11
witness X2 W12
witness X3 W13
group X-witnesses 2 X1 X2 X3

witness Y1 W21
witness Y2 W22
witness Y3 W23
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
";

#[test]
fn the_policy_of_the_specification_decides_as_it_says() {
    assert!(holds(SPECIFICATION, &[11, 13, 22]));
    assert!(holds(SPECIFICATION, &[21, 22, 23, 11, 12, 13]));
    assert!(!holds(SPECIFICATION, &[11, 12, 13]));
    assert!(!holds(SPECIFICATION, &[11, 21, 22, 23]));
    assert!(!holds(SPECIFICATION, &[]));
    let verdict = parse(SPECIFICATION).unwrap().check(&signed(&[11, 13]));
    assert_eq!(
        verdict.faults,
        [PolicyFault::Quorum { quorum: "X-and-Y".into(), have: 1, need: 2 }]
    );
    assert_eq!(verdict.to_string(), "quorum X-and-Y: 1 of 2 needed");
}

#[test]
fn thresholds_and_quorums_of_every_kind() {
    let three = "log L1\nwitness a W11\nwitness b W12\nwitness c W13\n";
    let with = |rest: &str| format!("{three}{rest}");
    assert!(holds(&with("quorum none"), &[]));
    assert!(holds(&with("quorum b"), &[12]));
    assert!(!holds(&with("quorum b"), &[11, 13]));
    for (threshold, need) in [("any", 1), ("1", 1), ("2", 2), ("02", 2), ("all", 3), ("3", 3)] {
        let policy = with(&format!("group g {threshold} a b c\nquorum g\n"));
        for have in 0..=3 {
            assert_eq!(holds(&policy, &[11, 12, 13][..have]), have >= need, "{threshold}");
        }
    }
    // A quorum may be narrower or wider than the groups before it.
    assert!(holds(&with("group g all a b\ngroup h any g c\nquorum h\n"), &[13]));
    assert!(holds(&with("group g all a b\ngroup h any g c\nquorum a\n"), &[11]));
    // Names are words of any kind; only `none` is taken.
    assert!(holds(&with("group all all a\ngroup any any all\ngroup 2 1 any\nquorum 2\n"), &[11]));
    assert!(holds("witness log W11\nlog L1\nquorum log", &[11]));
}

#[test]
fn spaces_tabs_comments_and_empty_lines_do_not_matter() {
    let policy = "\n  \t\n# log nonsense\n\t #quorum none\n \tlog\t  L1 \thttps://log.example/ü \n\
                  witness  é\tW11   https://w.example\t\nquorum\té # \n";
    assert_eq!(parse(policy).unwrap_err().1, PolicyReason::Shape("quorum <name>, or quorum none"));
    let policy = policy.replace(" # ", "");
    let parsed = parse(&policy).unwrap();
    assert!(parsed.check(&signed(&[11])).holds());
    assert_eq!(
        parsed.to_string(),
        fill("log L1 https://log.example/ü\nwitness é W11 https://w.example\nquorum é\n")
    );
    assert_eq!(Policy::parse(&parsed.to_bytes()), Ok(parsed));
    // The last newline may be missing, and names need not be UTF-8.
    let octets =
        [fill("witness ").as_bytes(), b"\xFF\x80 ", fill("W11\nquorum ").as_bytes(), b"\xFF\x80"]
            .concat();
    let parsed = Policy::parse(&octets).unwrap();
    assert_eq!(parsed.to_bytes(), [&octets[..], b"\n"].concat());
    assert_eq!(parsed.witnesses().next().unwrap().0, b"\xFF\x80");
}

#[test]
fn every_error_names_its_line() {
    use PolicyReason as Reason;
    let group = Reason::Shape("group <name> all|any|<k> <member>...");
    let bad = [
        ("", 1, Reason::NoQuorum),
        ("log L1\n", 2, Reason::NoQuorum),
        ("log\nquorum none", 1, Reason::Shape("log <vkey> [<url>]")),
        ("log L1 url more\nquorum none", 1, Reason::Shape("log <vkey> [<url>]")),
        ("log nonsense\nquorum none", 1, Reason::Key(VerifierKeyError::Format)),
        (
            "log W1\nquorum none",
            1,
            Reason::Kind("a log's vkey is of type 0x01; this one is a cosigner's"),
        ),
        ("log L1\nlog L2\nlog L1\nquorum none", 3, Reason::DuplicateKey(1)),
        ("witness a\nquorum none", 1, Reason::Shape("witness <name> <vkey> [<url>]")),
        ("witness a W1 url more\nquorum none", 1, Reason::Shape("witness <name> <vkey> [<url>]")),
        (
            "witness a L1\nquorum none",
            1,
            Reason::Kind("a witness's vkey is of type 0x04; this one is a log's"),
        ),
        ("witness a W1\n\nwitness b W1\nquorum a", 3, Reason::DuplicateKey(1)),
        ("witness a W1\nwitness a W2\nquorum a", 2, Reason::DuplicateName("a".into())),
        ("witness a W1\ngroup a any a\nquorum a", 2, Reason::DuplicateName("a".into())),
        ("witness none W1\nquorum none", 1, Reason::None),
        ("witness a W1\ngroup none any a\nquorum none", 2, Reason::None),
        ("witness a W1\ngroup g any none\nquorum g", 2, Reason::None),
        ("group g any a\nwitness a W1\nquorum g", 1, Reason::Undefined("a".into())),
        ("group g any g\nquorum g", 1, Reason::Undefined("g".into())),
        ("witness a W1\ngroup g any a a\nquorum g", 2, Reason::Reused("a".into())),
        ("witness a W1\ngroup g any a\ngroup h any a\nquorum g", 3, Reason::Reused("a".into())),
        ("witness a W1\ngroup g 0 a\nquorum g", 2, Reason::Threshold(1)),
        ("witness a W1\ngroup g 2 a\nquorum g", 2, Reason::Threshold(1)),
        ("witness a W1\ngroup g -1 a\nquorum g", 2, Reason::Threshold(1)),
        ("witness a W1\ngroup g +1 a\nquorum g", 2, Reason::Threshold(1)),
        ("witness a W1\ngroup g ALL a\nquorum g", 2, Reason::Threshold(1)),
        ("witness a W1\ngroup g 99999999999999999999 a\nquorum g", 2, Reason::Threshold(1)),
        ("group g any\nquorum g", 1, group.clone()),
        ("group g\nquorum g", 1, group),
        ("quorum a\nwitness a W1", 1, Reason::Undefined("a".into())),
        ("quorum none\nquorum none", 2, Reason::DuplicateQuorum(1)),
        ("quorum", 1, Reason::Shape("quorum <name>, or quorum none")),
        ("Quorum none", 1, Reason::Keyword("Quorum".into())),
        ("quorum none\r\n", 1, Reason::ControlCharacter(13)),
        ("# a bell \u{7}\nquorum none", 1, Reason::ControlCharacter(7)),
        ("\n# delete \u{7f}\nquorum none", 2, Reason::ControlCharacter(127)),
    ];
    for (text, line, reason) in bad {
        assert_eq!(parse(text), Err((line, reason)), "{text:?}");
    }
    let long = format!("quorum none\n#{}", "x".repeat(POLICY_BYTES_MAX));
    assert_eq!(parse(&long), Err((1, Reason::TooLarge(long.len()))));
    let error = Policy::parse(b"log x\n").unwrap_err();
    assert!(error.to_string().starts_with("policy line 1: not a vkey"), "{error}");
}

#[test]
fn large_policies_are_taken() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for seed in 0..120 {
        writeln!(text, "log {}\nwitness w{seed} {}", log_vkey(seed), witness_vkey(seed)).unwrap();
    }
    // Groups nested a hundred deep.
    writeln!(text, "group g0 any w0").unwrap();
    for level in 1..120 {
        writeln!(text, "group g{level} 2 g{} w{level}", level - 1).unwrap();
    }
    text.push_str("quorum g119\n");
    let policy = Policy::parse(text.as_bytes()).unwrap();
    assert_eq!(
        policy.to_string(),
        text.replace(" any w0", " 1 w0")
            .lines()
            .filter(|line| line.starts_with("log"))
            .chain(text.replace(" any w0", " 1 w0").lines().filter(|line| !line.starts_with("log")))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    );
    assert!(!policy.check(&signed(&[1, 2, 3])).holds());
}

#[test]
fn a_ledger_of_four_needs_three() {
    let consortium = Consortium::new(&["a", "b", "c", "d"]);
    let policy = consortium.policy();
    let text = policy.to_string();
    assert_eq!(text.lines().filter(|line| line.starts_with("log ")).count(), 4);
    assert!(text.contains("\ngroup validators 3 "), "{text}");
    assert!(text.ends_with("\nquorum validators\n"), "{text}");
    assert_eq!(Policy::parse(text.as_bytes()), Ok(policy.clone()));

    let checkpoint = checkpoint(&ids(5));
    let verdict = policy.check(&consortium.sign(&checkpoint, &[0, 2, 3])).accept().unwrap();
    assert_eq!(verdict.logs, [consortium.logs[0].verifier_key().clone()]);
    let names: Vec<_> = verdict.witnesses.iter().map(|witness| &witness.witness[..]).collect();
    assert_eq!(names, ["a", "c", "d"]);
    assert!(verdict.witnesses.iter().all(|witness| witness.time_s == TIME_S));
    assert_eq!(verdict.quorum, (3, 3));
    assert_eq!(
        policy.check(&consortium.sign(&checkpoint, &[1, 3])).accept().unwrap_err(),
        PolicyFault::Quorum { quorum: "validators".into(), have: 2, need: 3 }
    );
}

#[test]
fn members_with_the_names_of_the_policy_are_told_apart() {
    let consortium = Consortium::new(&["none", "validators", "c", "d"]);
    let policy = consortium.policy();
    assert_eq!(Policy::parse(policy.to_string().as_bytes()), Ok(policy.clone()));
    assert!(policy.check(&consortium.sign(&checkpoint(&ids(5)), &[0, 1, 2])).holds());
}

#[test]
fn one_log_key_of_all_validators_is_one_line() {
    let mut consortium = Consortium::new(&["a", "b"]);
    consortium.validators[1].log = consortium.validators[0].log.clone();
    let policy = consortium.policy();
    assert_eq!(policy.logs().count(), 1);
    assert_eq!(Policy::parse(policy.to_string().as_bytes()), Ok(policy));
}

#[test]
fn a_ledger_without_validators_accepts_nothing() {
    let policy = Policy::for_validators(std::iter::empty());
    let verdict = policy.check(&signed(&[11]));
    assert!(!verdict.holds());
    assert_eq!(verdict.faults.len(), 2);
}

#[test]
fn a_log_that_is_not_listed_is_not_believed() {
    // No log at all, only one of another name, and only another key.
    for text in ["quorum none", "log OTHER\nquorum none"] {
        let other = LogSigner::new(&"other".parse().unwrap(), key(1)).unwrap();
        let text = text.replace("OTHER", &other.verifier_key().to_string());
        let verdict = parse(&text).unwrap().check(&signed(&[]));
        assert_eq!(verdict.faults, [PolicyFault::UnknownLog { origin: origin().to_string() }]);
    }
    let verdict = parse("log L2\nquorum none").unwrap().check(&signed(&[]));
    assert_eq!(verdict.faults, [PolicyFault::NotSigned { origin: origin().to_string() }]);
}

/// Another log of the policy cannot vouch for a checkpoint of this one.
#[test]
fn a_log_signs_under_its_own_name_only() {
    let other = LogSigner::new(&"other".parse().unwrap(), key(2)).unwrap();
    let checkpoint = checkpoint(&ids(5));
    let key = other.verifier_key();
    let line =
        NoteSignature::new(key.name().into(), key.key_id(), other.sign(&checkpoint).to_vec());
    let note = [checkpoint.body().as_bytes(), b"\n", &line.unwrap().to_bytes()].concat();
    let signed = SignedCheckpoint::parse(&note).unwrap();
    let policy = parse(&format!("log L1\nlog {key}\nquorum none")).unwrap();
    assert_eq!(
        policy.check(&signed).faults,
        [PolicyFault::NotSigned { origin: origin().to_string() }]
    );
}

#[test]
fn a_known_key_whose_signature_fails_rejects_the_note() {
    let policy = parse("log L1\nlog L2\nwitness a W11\nwitness b W12\nquorum a").unwrap();
    let good = signed(&[11]);
    assert!(policy.check(&good).holds());
    let line = |vkey: String, length: usize| {
        let key: crate::transparency::VerifierKey = vkey.parse().unwrap();
        NoteSignature::new(key.name().into(), key.key_id(), vec![7; length]).unwrap()
    };
    // Not even where all that is needed is there.
    for (vkey, kind) in [(log_vkey(2), KeyKind::Log), (witness_vkey(12), KeyKind::Cosigner)] {
        for length in [1, 64, 72, 73] {
            let mut bad = good.clone();
            bad.add_signature(line(vkey.clone(), length)).unwrap();
            let faults = policy.check(&bad).faults;
            assert!(
                matches!(&faults[..], [PolicyFault::BadSignature { kind: found, .. }] if *found == kind),
                "{faults:?}"
            );
        }
    }
    // Unknown keys say nothing.
    let mut unknown = good.clone();
    unknown.add_signature(line(witness_vkey(13), 72)).unwrap();
    unknown.add_signature(NoteSignature::new("w12.example".into(), 1, vec![1]).unwrap()).unwrap();
    assert!(policy.check(&unknown).holds());
}

#[test]
fn a_known_key_that_signs_twice_rejects_the_note() {
    let policy = parse("log L1\nwitness a W11\nwitness b W12\nquorum a").unwrap();
    let good = signed(&[11, 12]);
    for index in 0..3 {
        let mut text = good.to_text();
        let line = String::from_utf8(good.signatures()[index].to_bytes()).unwrap();
        text.push_str(&line);
        let faults = policy.check(&SignedCheckpoint::parse(text.as_bytes()).unwrap()).faults;
        assert!(matches!(&faults[..], [PolicyFault::Repeated { .. }]), "{faults:?}");
    }
    // Another valid cosignature by the same witness, of another time, is no second voice.
    let checkpoint = good.checkpoint();
    let cosigner = Cosigner::new("w12.example", key(12)).unwrap();
    let again = [&9_u64.to_be_bytes()[..], &cosigner.cosign(checkpoint, 9)].concat();
    let vkey = cosigner.verifier_key();
    let line = NoteSignature::new(vkey.name().into(), vkey.key_id(), again).unwrap();
    let note = [good.to_bytes(), line.to_bytes()].concat();
    let faults = policy.check(&SignedCheckpoint::parse(&note).unwrap()).faults;
    assert!(matches!(&faults[..], [PolicyFault::Repeated { .. }]), "{faults:?}");
}

#[test]
fn a_cosignature_beyond_time_is_refused() {
    let policy = parse("log L1\nwitness a W11\nquorum a").unwrap();
    let good = signed(&[]);
    let cosigner = Cosigner::new("w11.example", key(11)).unwrap();
    let vkey = cosigner.verifier_key();
    for (time_s, ok) in [(0, true), (i64::MAX as u64, true), (1 << 63, false), (u64::MAX, false)] {
        let bytes =
            [&time_s.to_be_bytes()[..], &cosigner.cosign(good.checkpoint(), time_s)].concat();
        let mut signed = good.clone();
        signed
            .add_signature(NoteSignature::new(vkey.name().into(), vkey.key_id(), bytes).unwrap())
            .unwrap();
        assert_eq!(policy.check(&signed).holds(), ok, "{time_s}");
    }
}

proptest! {
    /// Whoever cosigns, the quorum is more than two thirds.
    #[test]
    fn the_quorum_is_more_than_two_thirds(count in 1_usize..8, mask in any::<u8>()) {
        let names: Vec<_> = (0..count).map(|number| format!("m{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let consortium = Consortium::new(&names);
        let members: Vec<_> = (0..count).filter(|member| mask >> member & 1 == 1).collect();
        let signed = consortium.sign(&checkpoint(&ids(3)), &members);
        prop_assert_eq!(consortium.policy().check(&signed).holds(), 3 * members.len() > 2 * count);
    }

    #[test]
    fn no_bytes_panic_and_what_is_read_is_written(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = fill(SPECIFICATION).into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(policy) = Policy::parse(&bytes) {
            prop_assert_eq!(Policy::parse(&policy.to_bytes()), Ok(policy));
        }
    }
}

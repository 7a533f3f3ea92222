//! The same trees, proofs and notes, judged by what others wrote.

use ct_merkle::{
    ConsistencyProof, InclusionProof, RootHash,
    digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update, consts::U32},
    mem_backed_tree::MemoryBackedTree,
};
use sha2::Digest as _;

use super::{
    Consortium, TIME_S, checkpoint, ids, key,
    merkle::{self, Hash},
    nodes, origin,
};
use crate::{
    digest::Digest,
    transparency::{KeyKind, VerifierKey},
};

/// SHA-256 under the traits of the generation of `digest` that ct-merkle uses.
#[derive(Default)]
struct Sha256(sha2::Sha256);

impl HashMarker for Sha256 {}

impl OutputSizeUser for Sha256 {
    type OutputSize = U32;
}

impl Update for Sha256 {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

impl FixedOutput for Sha256 {
    fn finalize_into(self, out: &mut Output<Self>) {
        out.copy_from_slice(&self.0.finalize());
    }
}

fn bytes(proof: &[Digest]) -> Vec<u8> {
    proof.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

fn root_hash(root: &Digest, size: u64) -> RootHash<Sha256> {
    RootHash::new(Output::<Sha256>::from(*root.as_bytes()), size)
}

#[test]
fn ct_merkle_makes_and_takes_the_same_proofs() {
    let ids = ids(130);
    let nodes = nodes(&ids);
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for (size, id) in (1_u64..).zip(&ids) {
        tree.push(id.as_bytes().to_vec());
        let root = merkle::root(size, &nodes).unwrap();
        assert_eq!(tree.root().as_bytes()[..], root.as_bytes()[..]);
        for index in (0..size).step_by(7).chain([size - 1]) {
            let proof = merkle::inclusion(index, size, &nodes).unwrap();
            let at = usize::try_from(index).unwrap();
            assert_eq!(tree.prove_inclusion(at).as_bytes(), bytes(&proof));
            let theirs = InclusionProof::try_from_bytes(bytes(&proof)).unwrap();
            root_hash(&root, size).verify_inclusion(&ids[at].as_bytes(), index, &theirs).unwrap();
        }
        for from in (1..size).step_by(5) {
            let proof = merkle::consistency(from, size, &nodes).unwrap();
            let additions = usize::try_from(size - from).unwrap();
            assert_eq!(tree.prove_consistency(additions).as_bytes(), bytes(&proof));
            let theirs = ConsistencyProof::try_from_bytes(bytes(&proof)).unwrap();
            let old = root_hash(&merkle::root(from, &nodes).unwrap(), from);
            root_hash(&root, size).verify_consistency(&old, &theirs).unwrap();
        }
    }
}

#[test]
fn tlog_tiles_and_metamorphic_log_take_the_proofs() {
    let ids = ids(100);
    let nodes = nodes(&ids);
    let hash = |digest: &Digest| Hash(*digest.as_bytes());
    let raw =
        |proof: &[Digest]| proof.iter().map(|hash| hash.as_bytes().to_vec()).collect::<Vec<_>>();
    for size in 1..=100_u64 {
        let root = merkle::root(size, &nodes).unwrap();
        for index in 0..size {
            let proof = merkle::inclusion(index, size, &nodes).unwrap();
            let leaf = merkle::leaf_hash(&ids[usize::try_from(index).unwrap()]);
            tlog_tiles::check_record(
                &proof.iter().map(hash).collect(),
                size,
                hash(&root),
                index,
                hash(&leaf),
            )
            .unwrap();
            metamorphic_log::verify_inclusion(
                index,
                size,
                leaf.as_bytes(),
                &raw(&proof),
                root.as_bytes(),
            )
            .unwrap();
        }
        for from in 1..=size {
            let proof = merkle::consistency(from, size, &nodes).unwrap();
            let old = merkle::root(from, &nodes).unwrap();
            tlog_tiles::check_tree(
                &proof.iter().map(hash).collect(),
                size,
                hash(&root),
                from,
                hash(&old),
            )
            .unwrap();
            metamorphic_log::verify_consistency(
                from,
                size,
                &raw(&proof),
                old.as_bytes(),
                root.as_bytes(),
            )
            .unwrap();
        }
    }
}

#[test]
fn signed_note_and_metamorphic_log_take_our_checkpoints() {
    let consortium = Consortium::new(&["a", "b", "c", "d"]);
    let checkpoint = checkpoint(&ids(9));
    let signed = consortium.sign(&checkpoint, &[0, 2, 3]);
    let note = signed_note::Note::from_bytes(&signed.to_bytes()).unwrap();

    // signed_note's own verifier for the log's key, and ours for its note.
    let log = consortium.logs[0].verifier_key();
    let theirs = signed_note::StandardVerifier::new(&log.to_string()).unwrap();
    let list = signed_note::VerifierList::new(vec![Box::new(theirs)]);
    assert_eq!(note.verify(&list).unwrap().0.len(), 1);
    let mut ours: Vec<Box<dyn signed_note::Verifier>> = vec![Box::new(log.clone())];
    for validator in &consortium.validators {
        ours.push(Box::new(validator.cosigner.clone()));
    }
    let (verified, unverified) = note.verify(&signed_note::VerifierList::new(ours)).unwrap();
    assert_eq!((verified.len(), unverified.len()), (4, 0));

    let text = signed.to_text();
    let mut trusted = vec![metamorphic_log::note::VerifierKey::parse(&log.to_string()).unwrap()];
    for validator in &consortium.validators {
        let theirs = metamorphic_log::note::VerifierKey::new_cosignature_ed25519(
            validator.cosigner.name(),
            validator.cosigner.public().as_bytes(),
        )
        .unwrap();
        assert_eq!(theirs.key_id(), validator.cosigner.key_id());
        assert_eq!(theirs.encode(), validator.cosigner.to_string());
        trusted.push(theirs);
    }
    let note = metamorphic_log::note::SignedNote::parse(&text).unwrap();
    assert_eq!(note.verify(&trusted).unwrap().len(), 4);
    let theirs =
        metamorphic_log::checkpoint::Checkpoint::from_signed_note(&text, &trusted).unwrap();
    assert_eq!(
        (theirs.origin(), theirs.size(), theirs.root_hash()),
        (checkpoint.origin.as_str(), checkpoint.size, checkpoint.root.as_bytes())
    );
}

#[test]
fn metamorphic_log_signs_what_we_sign() {
    let checkpoint = checkpoint(&ids(9));
    let consortium = Consortium::new(&["a"]);
    let cosigner = &consortium.cosigners[0];
    let theirs = metamorphic_log::note::sign_cosignature_ed25519(
        &checkpoint.body(),
        cosigner.verifier_key().name(),
        key(2).as_bytes(),
        TIME_S,
    )
    .unwrap();
    let signed = consortium.sign(&checkpoint, &[0]);
    assert_eq!(theirs.signature(), signed.signatures()[1].signature());

    let theirs = metamorphic_log::note::sign_ed25519(
        &checkpoint.body(),
        origin().as_str(),
        key(1).as_bytes(),
    )
    .unwrap();
    assert_eq!(theirs.signature(), signed.signatures()[0].signature());
}

#[test]
fn tlog_tiles_reads_our_checkpoint_body() {
    let checkpoint = checkpoint(&ids(9));
    let theirs = tlog_tiles::Checkpoint::from_bytes(checkpoint.body().as_bytes()).unwrap();
    assert_eq!(theirs.size(), 9);
    assert_eq!(theirs.hash().0, *checkpoint.root.as_bytes());
    let key = VerifierKey::new("a", KeyKind::Log, key(1).verifying_key()).unwrap();
    assert_eq!(signed_note::new_ed25519_verifier_key("a", key.public()), key.to_string());
}

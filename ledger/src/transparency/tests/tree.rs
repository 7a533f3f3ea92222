use proptest::prelude::*;

use super::{
    digest, ids,
    merkle::{self, EMPTY_ROOT, Frontier, Hash, HashReader, MemoryNodes, TREE_SIZE_MAX, TreeError},
    nodes,
};
use crate::digest::{Digest, RecordId};

/// RFC 6962, section 2.1, word for word.
fn naive_root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            naive_node(&naive_root(left), &naive_root(right))
        }
    }
}

fn naive_node(left: &Digest, right: &Digest) -> Digest {
    Digest::of(&[&[1][..], left.as_bytes(), right.as_bytes()].concat())
}

/// The largest power of two below `count`.
fn split(count: usize) -> usize {
    let mut power = 1;
    while power * 2 < count {
        power *= 2;
    }
    power
}

/// RFC 6962, section 2.1.1.
fn naive_path(index: usize, leaves: &[Digest]) -> Vec<Digest> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, sibling) = if index < left.len() {
        (naive_path(index, left), naive_root(right))
    } else {
        (naive_path(index - left.len(), right), naive_root(left))
    };
    path.push(sibling);
    path
}

/// RFC 6962, section 2.1.2.
fn naive_consistency(from: usize, leaves: &[Digest], whole: bool) -> Vec<Digest> {
    if from == leaves.len() {
        return if whole { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, other) = if from <= left.len() {
        (naive_consistency(from, left, whole), naive_root(right))
    } else {
        (naive_consistency(from - left.len(), right, false), naive_root(left))
    };
    path.push(other);
    path
}

fn leaves(ids: &[RecordId]) -> Vec<Digest> {
    ids.iter().map(|id| Digest::of(&[&[0][..], id.as_bytes()].concat())).collect()
}

/// The leaves that implementations of Certificate Transparency test with.
fn ct_leaves() -> Vec<Digest> {
    [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
    .map(|leaf| Digest::of(&[vec![0], hex::decode(leaf).unwrap()].concat()))
    .to_vec()
}

const CT_ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn ct_nodes() -> MemoryNodes {
    let mut frontier = Frontier::new();
    let mut stored = Vec::new();
    for leaf in ct_leaves() {
        frontier.push_storing(leaf, &mut stored).unwrap();
    }
    stored.into()
}

#[test]
fn roots_of_the_certificate_transparency_leaves() {
    let nodes = ct_nodes();
    let mut frontier = Frontier::new();
    for (size, root) in (0_u64..).zip(CT_ROOTS) {
        assert_eq!(merkle::root(size, &nodes).unwrap(), digest(root), "size {size}");
        assert_eq!(frontier.root(), digest(root), "size {size}");
        if let Some(leaf) = ct_leaves().get(usize::try_from(size).unwrap()) {
            frontier.push(*leaf).unwrap();
        }
    }
    assert_eq!(merkle::EMPTY_ROOT, digest(CT_ROOTS[0]));
}

#[test]
fn inclusion_proofs_of_the_certificate_transparency_leaves() {
    let known: [(u64, u64, &[&str]); 5] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
        (
            1,
            5,
            &[
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (index, size, proof) in known {
        let proof: Vec<_> = proof.iter().map(|hash| digest(hash)).collect();
        assert_eq!(merkle::inclusion(index, size, &ct_nodes()).unwrap(), proof);
        let leaf = ct_leaves()[usize::try_from(index).unwrap()];
        let root = digest(CT_ROOTS[usize::try_from(size).unwrap()]);
        merkle::verify_inclusion(&leaf, index, size, &proof, &root).unwrap();
    }
}

#[test]
fn consistency_proofs_of_the_certificate_transparency_leaves() {
    let known: [(u64, u64, &[&str]); 4] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (from, to, proof) in known {
        let proof: Vec<_> = proof.iter().map(|hash| digest(hash)).collect();
        assert_eq!(merkle::consistency(from, to, &ct_nodes()).unwrap(), proof);
        let root = |size: u64| digest(CT_ROOTS[usize::try_from(size).unwrap()]);
        merkle::verify_consistency(from, &root(from), to, &root(to), &proof).unwrap();
    }
}

/// Every record and every pair of sizes, against the definition.
#[test]
fn small_trees_agree_with_the_definition_everywhere() {
    let ids = ids(66);
    let (leaves, nodes) = (leaves(&ids), nodes(&ids));
    for size in 0..=ids.len() {
        let root = naive_root(&leaves[..size]);
        assert_eq!(merkle::root(size as u64, &nodes).unwrap(), root);
        for (index, id) in ids[..size].iter().enumerate() {
            let proof = merkle::inclusion(index as u64, size as u64, &nodes).unwrap();
            assert_eq!(proof, naive_path(index, &leaves[..size]));
            let leaf = merkle::leaf_hash(id);
            merkle::verify_inclusion(&leaf, index as u64, size as u64, &proof, &root).unwrap();
        }
        for from in 1..=size {
            let proof = merkle::consistency(from as u64, size as u64, &nodes).unwrap();
            assert_eq!(proof, naive_consistency(from, &leaves[..size], true));
            let from_root = naive_root(&leaves[..from]);
            merkle::verify_consistency(from as u64, &from_root, size as u64, &root, &proof)
                .unwrap();
        }
    }
}

/// A proof is for one leaf, one index, one size and one root.
#[test]
fn a_proof_of_something_else_is_refused() {
    let ids = ids(40);
    let nodes = nodes(&ids);
    for size in 1..=40_u64 {
        let root = merkle::root(size, &nodes).unwrap();
        for index in 0..size {
            let proof = merkle::inclusion(index, size, &nodes).unwrap();
            let leaf = merkle::leaf_hash(&ids[usize::try_from(index).unwrap()]);
            for other in 0..size + 2 {
                let holds = merkle::verify_inclusion(&leaf, other, size, &proof, &root).is_ok();
                assert_eq!(holds, other == index, "{index} as {other} of {size}");
            }
            assert!(
                merkle::verify_inclusion(&root, index, size, &proof, &leaf).is_err() || size == 1
            );
            let mut longer = proof.clone();
            longer.push(root);
            assert!(merkle::verify_inclusion(&leaf, index, size, &longer, &root).is_err());
            if !proof.is_empty() {
                let shorter = &proof[..proof.len() - 1];
                assert!(merkle::verify_inclusion(&leaf, index, size, shorter, &root).is_err());
            }
            for at in 0..proof.len() {
                let mut flipped = proof.clone();
                flipped[at] = Digest::of(flipped[at].as_bytes());
                assert!(merkle::verify_inclusion(&leaf, index, size, &flipped, &root).is_err());
            }
        }
    }
}

#[test]
fn a_consistency_proof_between_other_trees_is_refused() {
    let ids = ids(34);
    let nodes = nodes(&ids);
    let root = |size| merkle::root(size, &nodes).unwrap();
    let other = Digest::of(b"another history");
    for to in 1..=34_u64 {
        for from in 1..=to {
            let proof = merkle::consistency(from, to, &nodes).unwrap();
            assert!(merkle::verify_consistency(from, &other, to, &root(to), &proof).is_err());
            assert!(merkle::verify_consistency(from, &root(from), to, &other, &proof).is_err());
            let mut longer = proof.clone();
            longer.push(other);
            assert!(merkle::verify_consistency(from, &root(from), to, &root(to), &longer).is_err());
            for at in 0..proof.len() {
                let mut flipped = proof.clone();
                flipped[at] = other;
                assert!(
                    merkle::verify_consistency(from, &root(from), to, &root(to), &flipped).is_err()
                );
                let mut shorter = proof.clone();
                shorter.remove(at);
                assert!(
                    merkle::verify_consistency(from, &root(from), to, &root(to), &shorter).is_err()
                );
            }
        }
    }
}

#[test]
fn every_tree_continues_the_empty_one_and_itself() {
    let ids = ids(5);
    let nodes = nodes(&ids);
    let root = merkle::root(5, &nodes).unwrap();
    let other = Digest::of(b"other");
    assert_eq!(merkle::consistency(0, 5, &nodes).unwrap(), []);
    assert_eq!(merkle::consistency(5, 5, &nodes).unwrap(), []);
    assert_eq!(merkle::consistency(0, 0, &nodes).unwrap(), []);
    merkle::verify_consistency(0, &EMPTY_ROOT, 5, &root, &[]).unwrap();
    merkle::verify_consistency(5, &root, 5, &root, &[]).unwrap();
    merkle::verify_consistency(0, &EMPTY_ROOT, 0, &EMPTY_ROOT, &[]).unwrap();

    assert!(merkle::verify_consistency(0, &EMPTY_ROOT, 5, &root, &[other]).is_err());
    assert!(merkle::verify_consistency(0, &other, 5, &root, &[]).is_err());
    assert!(merkle::verify_consistency(0, &EMPTY_ROOT, 0, &other, &[]).is_err());
    assert!(merkle::verify_consistency(5, &root, 5, &other, &[]).is_err());
    assert!(merkle::verify_consistency(5, &root, 5, &root, &[root]).is_err());
    assert!(matches!(
        merkle::verify_consistency(6, &root, 5, &root, &[]),
        Err(TreeError::Shrinks { from: 6, to: 5 })
    ));
}

/// A tree of one size never passes for another, whatever the sizes claim.
#[test]
fn a_consistency_proof_is_for_two_sizes_only() {
    let ids = ids(20);
    let nodes = nodes(&ids);
    let root = |size| merkle::root(size, &nodes).unwrap();
    for (from, to) in [(3_u64, 7_u64), (4, 8), (6, 13), (8, 20), (16, 17)] {
        let proof = merkle::consistency(from, to, &nodes).unwrap();
        for other_from in 1..=20 {
            if other_from != from && other_from <= to {
                let root_of_other = root(other_from);
                assert!(
                    merkle::verify_consistency(other_from, &root_of_other, to, &root(to), &proof)
                        .is_err()
                );
            }
        }
    }
}

/// The reader that a damaged store would be.
struct Faulty(usize);

impl HashReader for Faulty {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        match self.0 {
            0 => Err(tlog_tiles::Error::IndexesNotInTree),
            extra => Ok(vec![Hash::default(); indexes.len() + extra - 2]),
        }
    }
}

#[test]
fn a_faulty_store_is_an_error_and_no_panic() {
    let id = RecordId::of(b"x");
    for reader in [Faulty(0), Faulty(1), Faulty(3)] {
        let errors = [
            merkle::root(7, &reader).unwrap_err(),
            merkle::inclusion(3, 7, &reader).unwrap_err(),
            merkle::consistency(3, 7, &reader).unwrap_err(),
            merkle::append(7, [&id], &reader).unwrap_err(),
            Frontier::read(7, &reader).unwrap_err(),
        ];
        for error in errors {
            match reader.0 {
                0 => assert!(matches!(error, TreeError::Read(_))),
                _ => assert!(matches!(error, TreeError::ReadShort { .. })),
            }
        }
    }
}

#[test]
fn what_is_beyond_a_tree_is_an_error_and_no_panic() {
    let none = MemoryNodes::default();
    let id = RecordId::of(b"x");
    for size in [TREE_SIZE_MAX + 1, 1 << 63, u64::MAX] {
        assert!(matches!(merkle::root(size, &none), Err(TreeError::TooLarge { .. })));
        assert!(matches!(merkle::inclusion(0, size, &none), Err(TreeError::TooLarge { .. })));
        assert!(matches!(merkle::consistency(1, size, &none), Err(TreeError::TooLarge { .. })));
        assert!(matches!(merkle::append(size, [&id], &none), Err(TreeError::TooLarge { .. })));
        assert!(matches!(merkle::stored_nodes(size), Err(TreeError::TooLarge { .. })));
    }
    assert!(matches!(merkle::root(TREE_SIZE_MAX, &none), Err(TreeError::Read(_))));
    assert!(matches!(merkle::inclusion(0, TREE_SIZE_MAX, &none), Err(TreeError::Read(_))));
    assert!(matches!(merkle::consistency(3, TREE_SIZE_MAX, &none), Err(TreeError::Read(_))));
    assert!(matches!(
        merkle::inclusion(5, 5, &none),
        Err(TreeError::IndexBeyondSize { index: 5, size: 5 })
    ));
    assert!(matches!(merkle::consistency(6, 5, &none), Err(TreeError::Shrinks { .. })));

    let mut full = Frontier::from_parts(TREE_SIZE_MAX, vec![Digest::ZERO]).unwrap();
    assert!(matches!(full.push(Digest::ZERO), Err(TreeError::TooLarge { .. })));
    assert_eq!(full.size(), TREE_SIZE_MAX);
}

#[test]
fn a_right_edge_has_a_node_for_each_bit_of_its_size() {
    let ids = ids(11);
    let mut frontier = Frontier::new();
    for id in &ids {
        frontier.push(merkle::leaf_hash(id)).unwrap();
    }
    let again = Frontier::from_parts(11, frontier.nodes().to_vec()).unwrap();
    assert_eq!(again, frontier);
    assert_eq!(again.root(), merkle::root(11, &nodes(&ids)).unwrap());
    assert_eq!(Frontier::read(11, &nodes(&ids)).unwrap(), frontier);
    assert!(matches!(
        Frontier::from_parts(12, again.nodes().to_vec()),
        Err(TreeError::Edge { size: 12, found: 3, expected: 2 })
    ));
}

#[test]
fn nodes_stand_where_the_index_says() {
    let ids = ids(300);
    let stored = nodes(&ids);
    let leaves = leaves(&ids);
    assert_eq!(stored.as_slice().len() as u64, merkle::stored_nodes(300).unwrap());
    for level in 0..9_u8 {
        let span = 1_usize << level;
        for number in 0..leaves.len() / span {
            let position = merkle::stored_hash_index(level, number as u64);
            let expected = naive_root(&leaves[number * span..(number + 1) * span]);
            assert_eq!(stored.as_slice()[usize::try_from(position).unwrap()], expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However records are cut into blocks, the same nodes are stored.
    #[test]
    fn blocks_of_any_size_store_the_same_nodes(cuts in prop::collection::vec(0_usize..60, 1..8)) {
        let all = ids(cuts.iter().sum::<usize>() as u64);
        let mut stored = MemoryNodes::default();
        let mut size = 0;
        for cut in cuts {
            let block = &all[size..size + cut];
            let new = merkle::append(size as u64, block, &stored).unwrap();
            prop_assert_eq!(stored.as_slice().len() as u64, merkle::stored_nodes(size as u64).unwrap());
            stored.extend(new);
            size += cut;
        }
        prop_assert_eq!(&stored, &nodes(&all));
        prop_assert_eq!(merkle::root(size as u64, &stored).unwrap(), naive_root(&leaves(&all)));
    }

    #[test]
    fn larger_trees_agree_with_the_definition(size in 1_u64..1500, index: prop::sample::Index, from: prop::sample::Index) {
        let ids = ids(size);
        let (stored, leaves) = (nodes(&ids), leaves(&ids));
        let root = naive_root(&leaves);
        let index = index.index(ids.len());
        let proof = merkle::inclusion(index as u64, size, &stored).unwrap();
        prop_assert_eq!(&proof, &naive_path(index, &leaves));
        merkle::verify_inclusion(&leaves[index], index as u64, size, &proof, &root).unwrap();
        let from = 1 + from.index(ids.len());
        let proof = merkle::consistency(from as u64, size, &stored).unwrap();
        prop_assert_eq!(&proof, &naive_consistency(from, &leaves, true));
        merkle::verify_consistency(from as u64, &naive_root(&leaves[..from]), size, &root, &proof).unwrap();
    }

    /// Sizes and proofs come from strangers.
    #[test]
    fn no_input_to_a_verifier_panics(
        numbers in prop::array::uniform2(prop_oneof![any::<u64>(), 0_u64..70, (0_u32..64).prop_map(|bit| 1 << bit), (1_u32..64).prop_map(|bit| (1 << bit) - 1), Just(u64::MAX)]),
        hashes in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let proof: Vec<_> = hashes.into_iter().map(Digest::from_bytes).collect();
        let [a, b] = numbers;
        prop_assert!(merkle::verify_inclusion(&EMPTY_ROOT, a, b, &proof, &Digest::ZERO).is_err());
        prop_assert!(merkle::verify_consistency(a, &Digest::ZERO, b, &EMPTY_ROOT, &proof).is_err());
    }
}

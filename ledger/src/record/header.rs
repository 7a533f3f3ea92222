//! The protected header: who signed, with which key, and nothing more.

use super::{
    fields::{Field, FieldError},
    json,
    path::Path,
};
use crate::{
    insurance::ValueError,
    membership::{Algorithm, KeyId, MemberId},
    refusal::{Code, Refusal},
};

/// `alg` of RFC 8037, which leaves the curve to the key. Of its curves only
/// Ed25519 is there.
const EDDSA_RFC_8037: &str = "EdDSA";

/// `typ`: says that this is a record, so that no other token of the same key
/// is ever taken for one.
pub(super) const TYPE: &str = "quittance-record";

/// Who signed, how, and with which of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) signer: MemberId,
    pub(super) key_id: KeyId,
}

impl Header {
    /// Reads a decoded header: exactly `alg`, `kid` and `typ`, in any order.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let root = Path::Header;
        let (mut algorithm, mut signer, mut has_type) = (None, None, false);
        for member in json::parse_object(bytes, &root)? {
            let path = root.member(&member.name);
            let field = Field::new(&member.value, &path);
            match &*member.name {
                "alg" => algorithm = Some(field.text(algorithm_of)?),
                "kid" => signer = Some(field.text(key_of)?),
                "typ" => has_type = field.text(is_type)?,
                _ => {
                    let predicate = "must not stand in the header of a record, \
                                     which has alg, kid and typ only";
                    return Err(FieldError::new(Code::Malformed, predicate).at(&path).into());
                }
            }
        }
        let missing = |name| Refusal::from(FieldError::of_member(name, "is missing").at(&root));
        let algorithm = algorithm.ok_or_else(|| missing("alg"))?;
        let (signer, key_id) = signer.ok_or_else(|| missing("kid"))?;
        if has_type { Ok(Self { algorithm, signer, key_id }) } else { Err(missing("typ")) }
    }
}

fn algorithm_of(text: &str) -> Result<Algorithm, ValueError> {
    match text {
        EDDSA_RFC_8037 => Ok(Algorithm::Ed25519),
        _ => text.parse().map_err(|_| {
            ValueError("must be Ed25519 (or EdDSA) or ES256; no other algorithm is accepted")
        }),
    }
}

fn is_type(text: &str) -> Result<bool, ValueError> {
    match text {
        TYPE => Ok(true),
        _ => Err(ValueError("must be quittance-record")),
    }
}

fn key_of(text: &str) -> Result<(MemberId, KeyId), ValueError> {
    text.split_once('#')
        .and_then(|(member, key)| Some((member.parse().ok()?, key.parse().ok()?)))
        .ok_or(ValueError("must be <member>#<key>, such as petexpert#1"))
}

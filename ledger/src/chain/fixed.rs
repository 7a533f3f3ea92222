//! Layouts of fixed length: one field behind the other, nothing between them.

/// Writes `fields` one behind the other. Their lengths add up to `N`.
pub(super) fn joined<const N: usize>(fields: &[&[u8]]) -> [u8; N] {
    let mut bytes = [0; N];
    let mut at = 0;
    for field in fields {
        if let Some(place) = bytes.get_mut(at..at + field.len()) {
            place.copy_from_slice(field);
        }
        at += field.len();
    }
    debug_assert_eq!(at, N, "the fields of a layout have another length than it");
    bytes
}

//! ELF notes: where the GNU build id of a kernel is, in its image as in `/sys/kernel/notes`.

use muster_model::text::hex;

/// Type of the note that carries the GNU build id.
const BUILD_ID: usize = 3;

/// GNU build id of a list of notes, lower-case hex. The build salt, a note of the name `Linux`, is another thing.
///
/// Notes are: length of name, length of value, type, name, value, each padded to four bytes.
#[must_use]
pub fn build_id(notes: &[u8]) -> Option<String> {
    let mut rest = notes;
    loop {
        let number = |place: usize| Some(u32::from_le_bytes(rest.get(place..place + 4)?.try_into().ok()?) as usize);
        let (name_size, value_size, kind) = (number(0)?, number(4)?, number(8)?);
        let name = rest.get(12..12_usize.checked_add(name_size)?)?;
        let value_at = 12 + name_size.next_multiple_of(4);
        let value = rest.get(value_at..value_at.checked_add(value_size)?)?;
        if kind == BUILD_ID && name == b"GNU\0" && !value.is_empty() {
            return Some(hex(value));
        }
        rest = rest.get(value_at + value_size.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &[u8], kind: u32, value: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        for number in [u32::try_from(name.len()).unwrap(), u32::try_from(value.len()).unwrap(), kind] {
            note.extend(number.to_le_bytes());
        }
        for part in [name, value] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    #[test]
    fn the_build_id_is_the_note_of_type_three_and_not_the_salt() {
        let mut notes = note(b"Linux\0", 0x100, b"salt");
        notes.extend(note(b"Linux\0", 3, b"not"));
        notes.extend(note(b"GNU\0", 3, &[0xab, 0xcd, 0x01]));
        assert_eq!(build_id(&notes).as_deref(), Some("abcd01"));
        assert_eq!(build_id(&notes[..10]), None);
        assert_eq!(build_id(&[0xff; 40]), None, "lengths beyond the end");
    }
}

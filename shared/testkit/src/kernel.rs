//! Kernel images as the kernel's build lays them out, with nothing in them that could run.

fn note(name: &[u8], kind: u32, value: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    for number in [length(name), length(value), kind] {
        note.extend(number.to_le_bytes());
    }
    for part in [name, value] {
        note.extend(part);
        note.resize(note.len().next_multiple_of(4), 0);
    }
    note
}

/// An ELF file of 64 bits for a machine of this number (62 is x86_64), with one segment of code and one of notes, and a banner.
#[must_use]
pub fn vmlinux(release: &str, machine: u16, build_id: Option<&[u8]>) -> Vec<u8> {
    let mut notes = note(b"Linux\0", 0x100, b"the build salt");
    if let Some(build_id) = build_id {
        notes.extend(note(b"GNU\0", 3, build_id));
    }
    let code: Vec<u8> = (0..200_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
    let banner = format!("Linux version {release} (a@b) (cc) #1 SMP\0");
    let mut elf = vec![0; 64 + 2 * 56];
    elf[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
    elf[0x12..0x14].copy_from_slice(&machine.to_le_bytes());
    elf[0x20..0x28].copy_from_slice(&64_u64.to_le_bytes());
    elf[0x36..0x38].copy_from_slice(&56_u16.to_le_bytes());
    elf[0x38..0x3a].copy_from_slice(&2_u16.to_le_bytes());
    let notes_at = (elf.len() + code.len()) as u64;
    for (header, (kind, offset, size)) in
        [(1_u32, 176_u64, code.len() as u64), (4, notes_at, notes.len() as u64)].into_iter().enumerate()
    {
        let at = 64 + header * 56;
        elf[at..at + 4].copy_from_slice(&kind.to_le_bytes());
        elf[at + 8..at + 16].copy_from_slice(&offset.to_le_bytes());
        elf[at + 32..at + 40].copy_from_slice(&size.to_le_bytes());
    }
    for part in [&code[..], &notes, banner.as_bytes()] {
        elf.extend(part);
    }
    elf
}

/// A bzImage around a compressed kernel, or around an ELF file as it is.
#[must_use]
pub fn bzimage(release: &str, packed: &[u8]) -> Vec<u8> {
    let (sectors, offset) = (3_u8, 0x40_u32);
    let mut image = vec![0; (usize::from(sectors) + 1) * 512];
    image[0x1f1] = sectors;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
    let text = format!("{release} (a@b) #1 SMP PREEMPT_DYNAMIC");
    image[0x500..0x500 + text.len()].copy_from_slice(text.as_bytes());
    image[0x248..0x24c].copy_from_slice(&offset.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&length(packed).to_le_bytes());
    image.extend(vec![0xcc; offset as usize]);
    image.extend(packed);
    image.extend([0xcc; 300]);
    image
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

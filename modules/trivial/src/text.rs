//! Making and reading the few lines that this module needs, without memory of its own and without a panic.

/// Longest text that is made here.
const TEXT_BYTES_MAX: usize = 256;

/// A text that is being made; what does not fit is left out.
pub(crate) struct Text {
    buffer: [u8; TEXT_BYTES_MAX],
    size: usize,
}

impl Text {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { buffer: [0; TEXT_BYTES_MAX], size: 0 }
    }

    /// Adds bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            if let Some(place) = self.buffer.get_mut(self.size) {
                *place = *byte;
                self.size = self.size.wrapping_add(1);
            }
        }
        self
    }

    /// Adds a number, decimal.
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        let (mut divisor, mut rest) = (1_u64, number);
        while rest >= 10 {
            rest /= 10;
            divisor = divisor.wrapping_mul(10);
        }
        loop {
            let digit = (number.checked_div(divisor).unwrap_or_default() % 10) as u8;
            self.add(&[digit.wrapping_add(b'0')]);
            divisor /= 10;
            if divisor == 0 {
                return self;
            }
        }
    }

    /// What was made.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.size).unwrap_or_default()
    }
}

/// The message is of this type. Agents say the type first.
pub(crate) fn starts_with_type(line: &[u8], name: &[u8]) -> bool {
    let rest = line.strip_prefix(br#"{"type":""#).and_then(|rest| rest.strip_prefix(name));
    rest.is_some_and(|rest| rest.first() == Some(&b'"'))
}

/// The number that follows a key; 0 where there is none.
pub(crate) fn number_after(line: &[u8], key: &[u8]) -> u64 {
    let found = line.windows(key.len().max(1)).position(|window| window == key);
    let digits = found.and_then(|place| line.get(place.wrapping_add(key.len())..)).unwrap_or_default();
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u64, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit.wrapping_sub(b'0'))))
}

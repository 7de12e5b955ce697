//! What the messages are, for who decodes them by their names.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// Descriptors of every message, as an encoded `FileDescriptorSet`.
const DESCRIPTORS: &[u8] = include_bytes!("gen/muster.v1.binpb");

static SCHEMA: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("the schema is made by the build and tested below"));

/// Every type of the wire, decoded once.
#[must_use]
pub fn schema() -> &'static DescriptorPool {
    &SCHEMA
}

#[cfg(test)]
mod tests {
    use super::schema;

    #[test]
    fn the_schema_has_the_envelope() {
        assert!(schema().get_message_by_name("muster.v1.Envelope").is_some());
    }
}

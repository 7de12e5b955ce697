//! The lock of the wire: every field number and enum number that was ever given out, in `proto/lock.txt`. A number is never
//! given to another field, and no field is taken away.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

/// Where the lock is checked in, from the root of the project.
pub const LOCK: &str = "proto/lock.txt";

/// Every number of the wire as it is now: `Message.field` -> `number type`.
///
/// # Errors
/// When the proto files do not compile.
pub fn numbers(root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let scratch = root.join("target/rules");
    crate::codegen::generate(root, &scratch)?;
    let bytes = std::fs::read(scratch.join("muster.v1.binpb")).context("read the descriptors")?;
    let set = FileDescriptorSet::decode(bytes.as_slice()).context("decode the descriptors")?;
    let mut found = BTreeMap::new();
    for file in &set.file {
        for message in &file.message_type {
            collect_message(message, &mut found);
        }
        for one in &file.enum_type {
            collect_enum(one, &mut found);
        }
    }
    Ok(found)
}

fn collect_message(message: &DescriptorProto, found: &mut BTreeMap<String, String>) {
    for field in &message.field {
        let kind = format!("{:?}{}", field.r#type(), field.type_name());
        let line = format!("{} {kind} {:?}", field.number(), field.label());
        found.insert(format!("{}.{}", message.name(), field.name()), line);
    }
}

fn collect_enum(one: &EnumDescriptorProto, found: &mut BTreeMap<String, String>) {
    for value in &one.value {
        found.insert(format!("{}.{}", one.name(), value.name()), value.number().to_string());
    }
}

/// Reads the lock.
///
/// # Errors
/// When it is not there.
pub fn read(root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(root.join(LOCK)).with_context(|| format!("read {LOCK}"))?;
    Ok(text.lines().filter_map(|line| line.split_once(" = ")).map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}

/// Adds new numbers to the lock.
///
/// # Errors
/// When a locked number was changed or taken away.
pub fn extend(root: &Path) -> anyhow::Result<()> {
    let now = numbers(root)?;
    let locked = if root.join(LOCK).exists() { read(root)? } else { BTreeMap::new() };
    for (name, line) in &locked {
        let found = now.get(name).map_or("nothing", String::as_str);
        ensure!(found == line, "{name} is locked as `{line}` and is now `{found}`: fields are only ever added");
    }
    let text: String = now.iter().map(|(name, line)| format!("{name} = {line}\n")).collect();
    std::fs::write(root.join(LOCK), text).with_context(|| format!("write {LOCK}"))
}

//! Readers of test results that are not ours: what they say of what we wrote.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::tools;

/// The reference implementation of CTRF, with the published schema.
const CTRF: &str = "ctrf@0.3.0";
const CTRF_SCRIPT: &str = "\
const ctrf = require(process.argv[1]); \
const read = ctrf.validate(JSON.parse(require('fs').readFileSync(0, 'utf8'))); \
for (const error of read.errors || []) console.log(error.path + ': ' + error.message); \
process.exit(read.valid ? 0 : 1);";
/// The parser of TAP that comes with Perl, and is behind `prove`.
const TAP_SCRIPT: &str = "\
my $read = TAP::Parser->new({tap => join('', <STDIN>)}); \
while (my $line = $read->next) { \
    print(($line->is_ok ? 'ok' : 'not ok'), ' ', $line->number, ' ', $line->directive, \"\\n\") if $line->is_test; \
    print('data ', join(' ', map { \"$_=\" . $line->data->{$_} } sort keys %{$line->data}), \"\\n\") if $line->is_yaml; } \
print STDERR \"$_\\n\" for $read->parse_errors; exit($read->has_problems && $read->parse_errors ? 1 : 0);";

/// What Perl's parser reads of TAP: a line for each test, and for each block of YAML.
///
/// # Errors
/// What it finds wrong.
pub fn read_tap(text: &str) -> anyhow::Result<String> {
    let perl = tools::packaged_in("perl", "perl")?;
    feed(Command::new(perl).args(["-MTAP::Parser", "-e", TAP_SCRIPT]), text)
}

/// Checks a report against the schema of CTRF.
///
/// # Errors
/// What the reference implementation finds wrong.
pub fn check_ctrf(text: &str) -> anyhow::Result<()> {
    let node = tools::packaged_in("node", "nodejs")?;
    let module = npm_package("ctrf", CTRF)?.join("dist/index.cjs");
    feed(Command::new(node).args(["-e", CTRF_SCRIPT]).arg(module), text).map(drop)
}

/// Folder of a package of npm, kept in target/tools; obtains it if need be, saying so on stderr.
fn npm_package(name: &str, requirement: &str) -> anyhow::Result<PathBuf> {
    let root = tools::directory().join(requirement);
    let folder = root.join("node_modules").join(name);
    if !folder.is_dir() {
        eprintln!("obtaining {requirement} into {}", root.display());
        let npm = tools::packaged_in("npm", "npm")?;
        std::fs::create_dir_all(&root).with_context(|| format!("make {}", root.display()))?;
        let arguments =
            ["install", "--silent", "--no-audit", "--no-fund", "--prefix", &root.to_string_lossy(), requirement];
        tools::run_in(Path::new("/"), &npm.to_string_lossy(), &arguments)
            .with_context(|| format!("obtain {requirement} from npm; install it by hand into {}", root.display()))?;
    }
    Ok(folder)
}

/// Runs a program on a text; what it says, if it is content.
fn feed(command: &mut Command, text: &str) -> anyhow::Result<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("its stdin is piped")?;
    let text = text.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().context("wait for the reader")?;
    writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?.context("write to the reader")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

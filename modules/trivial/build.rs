//! Links the program without the C library's start-up and without a dynamic loader: most of the CPU time of a start is theirs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for argument in ["-nostartfiles", "-no-pie", "-Wl,--no-dynamic-linker", "-Wl,--build-id=none", "-Wl,--strip-all"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

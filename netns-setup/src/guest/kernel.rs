//! A kernel for the guest: an image, its release, and the modules that came with it.

use std::fs::{self, File};
use std::io::Read;
use std::path::{self, Path, PathBuf};

use super::error::GuestError;
use super::modules::Modules;

/// A kernel that a guest boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The bzImage, which distributions call vmlinuz.
    pub image: PathBuf,
    /// The folder `lib/modules/RELEASE`; it holds `kernel/` and `modules.builtin`. None for a kernel that has all built
    /// in.
    pub modules: Option<PathBuf>,
    /// What `uname -r` says inside: `6.1.0-56-cloud-amd64`.
    pub release: String,
}

impl Kernel {
    /// A kernel that is already here. `modules` is its `lib/modules/RELEASE`, or a folder that holds `RELEASE` or
    /// `lib/modules/RELEASE`.
    ///
    /// # Errors
    /// The image cannot be read or is no kernel, or the modules are missing or of another version.
    pub fn open(image: &Path, modules: Option<&Path>) -> Result<Kernel, GuestError> {
        // The emulator is started in another folder.
        let image = &path::absolute(image).map_err(|cause| GuestError::file(image, cause))?;
        let release = release_of(image)?;
        let modules = match modules {
            None => None,
            Some(given) => {
                let none = || GuestError::NotModules { path: given.to_owned(), release: release.clone() };
                let folder = module_folder(given, &release).ok_or_else(none)?;
                let found = Modules::open(&folder)?.release()?.ok_or_else(none)?;
                if found != release {
                    return Err(GuestError::ModulesVersion {
                        image: image.to_owned(),
                        release,
                        modules: folder,
                        found,
                    });
                }
                Some(folder)
            }
        };
        Ok(Kernel { image: image.to_owned(), modules, release })
    }
}

/// Where in `given` the modules are; those of another release are found too, so that the error can name them.
fn module_folder(given: &Path, release: &str) -> Option<PathBuf> {
    let is_folder = |path: &PathBuf| path.join("kernel").is_dir();
    let parents = [given.to_owned(), given.join("lib/modules"), given.join("usr/lib/modules")];
    let exact = parents.iter().map(|parent| parent.join(release));
    if let Some(found) = [given.to_owned()].into_iter().chain(exact).find(is_folder) {
        return Some(found);
    }
    let mut others: Vec<PathBuf> = parents
        .iter()
        .filter_map(|parent| fs::read_dir(parent).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(is_folder)
        .collect();
    others.sort();
    others.pop()
}

fn release_of(image: &Path) -> Result<String, GuestError> {
    let mut head = Vec::new();
    // The real-mode part is at most 64 sectors and the boot sector.
    File::open(image)
        .and_then(|file| file.take(65 * 512).read_to_end(&mut head))
        .map_err(|cause| GuestError::file(image, cause))?;
    release(&head).map_err(|why| GuestError::NotAKernel { path: image.to_owned(), why })
}

/// The release in the setup header of a bzImage (Documentation/arch/x86/boot.rst).
fn release(head: &[u8]) -> Result<String, &'static str> {
    let bytes = |at: usize, length: usize| head.get(at..at + length);
    let u16_at = |at: usize| bytes(at, 2).map(|found| u16::from_le_bytes([found[0], found[1]]));
    const SHORT: &str = "it is too short";
    if bytes(0x202, 4) != Some(b"HdrS") || u16_at(0x1fe) != Some(0xaa55) {
        return Err("it has no boot header (boot_flag, HdrS)");
    }
    // xloadflags came with protocol 2.12; bit 0 is XLF_KERNEL_64.
    if u16_at(0x206).ok_or(SHORT)? < 0x020c || u16_at(0x236).ok_or(SHORT)? & 1 == 0 {
        return Err("it is not a 64-bit kernel");
    }
    let pointer = usize::from(u16_at(0x20e).ok_or(SHORT)?);
    if pointer == 0 {
        return Err("its header names no version");
    }
    let text = head.get(pointer + 0x200..).ok_or("its version lies beyond its header")?;
    let end = text.iter().position(|&byte| byte == 0).ok_or("its version has no end")?;
    let text = std::str::from_utf8(&text[..end]).map_err(|_| "its version is no text")?;
    let release = text.split_whitespace().next().ok_or("its version is empty")?;
    // It becomes part of paths.
    if release.contains('/') || release.starts_with('.') {
        return Err("its version is no release");
    }
    Ok(release.to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The head of a bzImage.
    pub(crate) fn bzimage(version: &str) -> Vec<u8> {
        let mut head = vec![0; 0x400];
        head[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        head[0x202..0x206].copy_from_slice(b"HdrS");
        head[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
        head[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        head[0x236] = 1;
        head[0x300..0x300 + version.len()].copy_from_slice(version.as_bytes());
        head
    }

    #[test]
    fn the_release_is_the_first_word_of_the_version() {
        let head = bzimage("6.1.0-56-cloud-amd64 (someone@example.org) #1 SMP");
        assert_eq!(release(&head), Ok("6.1.0-56-cloud-amd64".into()));
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        assert_eq!(release(b"\x7fELF"), Err("it has no boot header (boot_flag, HdrS)"));
        let mut head = bzimage("6.1");
        head[0x236] = 0;
        assert_eq!(release(&head), Err("it is not a 64-bit kernel"));
        let mut head = bzimage("6.1");
        head[0x20e..0x210].copy_from_slice(&0xffffu16.to_le_bytes());
        assert_eq!(release(&head), Err("its version lies beyond its header"));
        assert_eq!(release(&bzimage("../../etc x")), Err("its version is no release"));
        assert_eq!(release(&bzimage("")), Err("its version is empty"));
    }

    #[test]
    fn files_that_are_no_kernels_are_named() {
        let none = Kernel::open(Path::new("/no/such"), None).unwrap_err();
        assert!(none.to_string().starts_with("/no/such: No such file"), "{none}");
        let text = Kernel::open(Path::new("/etc/passwd"), None).unwrap_err();
        assert!(
            text.to_string().starts_with("/etc/passwd is not a kernel image: it has no boot header"),
            "{text}"
        );
    }

    #[test]
    fn modules_are_found_below_the_folder_given() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("lib/modules/6.1.0");
        fs::create_dir_all(folder.join("kernel")).unwrap();
        for given in ["", "lib/modules", "lib/modules/6.1.0"] {
            assert_eq!(module_folder(&root.path().join(given), "6.1.0"), Some(folder.clone()), "{given}");
        }
        assert_eq!(module_folder(root.path(), "6.2.0"), Some(folder), "to be named in the error");
        assert_eq!(module_folder(&root.path().join("lib/modules/6.1.0/kernel"), "6.1.0"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut head = bzimage("");
            head.splice(0x206..0x206 + tail.len().min(0x1fa), tail.iter().copied().take(0x1fa));
            let _ = release(&head);
            let _ = release(&tail);
        }
    }
}

//! Real kube-proxies of this machine, in guests: where they are there, and what is known of them before.

use std::path::PathBuf;

use netns_setup::guest::{GuestError, Image};

use crate::lane::{Files, GivenFile, look_at};
use crate::sweep::Sweep;

/// Folder of a guest, in which each has one of its own. Not one that is a mount there.
const FOLDER: &str = "/guest/kube-proxy";

/// The files of a sweep's real kube-proxies.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    /// What guests are told.
    pub files: Files,
    /// Here and there.
    paths: Vec<(PathBuf, String)>,
    bytes: u64,
}

impl Given {
    /// Reads each of them once, for its hash. What is missing or no program is told to the guest, whose rows say it.
    pub(super) fn of(sweep: &Sweep) -> Self {
        let mut given = Self::default();
        let real = sweep.systems.iter().enumerate().filter(|(_, system)| system.is_real());
        for (index, choice) in real.filter_map(|(index, choice)| Some((u8::try_from(index).ok()?, choice))) {
            let file = look_at(choice).map(|binary| {
                let name = binary.path().file_name().unwrap_or("kube-proxy".as_ref()).to_string_lossy();
                let there = format!("{FOLDER}/{index}/{name}");
                given.bytes += binary.bytes();
                given.paths.push((binary.path().to_owned(), there.clone()));
                GivenFile { path: there.into(), sha256: binary.sha256().to_owned() }
            });
            given.files.insert(index, file);
        }
        given
    }

    /// Bytes of all of them.
    pub(super) const fn size(&self) -> u64 {
        self.bytes
    }

    /// Puts them into a guest as they are, so that their hashes stay true.
    ///
    /// # Errors
    /// If one cannot be read any more.
    pub(super) fn put_into(&self, image: &mut Image) -> Result<(), GuestError> {
        self.paths.iter().try_for_each(|(here, there)| image.copy_to(here, there))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::lane::NoSubject;

    #[test]
    fn files_are_read_here_and_found_there() {
        let text = "question = \"?\"\nseed = 1\nmodes = [\"nftables\"]\nservices = [1]\nendpoints = 1\n\
                    systems = [\"plan:1.37\", \"kube-proxy:/bin/sh\", \"kube-proxy:1.3\", \"kube-proxy:/no/such\"]\n\
                    [system]\nrepeats = 1\ngap_seconds = 1";
        let sweep = Sweep::parse("test", text).unwrap();
        let given = Given::of(&sweep);
        let shell = fs::canonicalize("/bin/sh").unwrap();
        let there = Path::new("/guest/kube-proxy/1").join(shell.file_name().unwrap());
        assert_eq!(given.files.keys().collect::<Vec<_>>(), [&1, &2, &3]);
        let file = given.files[&1].as_ref().unwrap();
        assert_eq!((&file.path, file.sha256.len()), (&there, 64));
        assert!(
            matches!(&given.files[&2], Err(NoSubject::Missing(why)) if why.contains("scripts/kube-proxy 1.3"))
        );
        assert!(matches!(&given.files[&3], Err(NoSubject::Unfit(why)) if why.contains("/no/such")));

        let mut image = Image::of_this_program(Vec::new()).unwrap();
        let before = image.size();
        given.put_into(&mut image).unwrap();
        assert_eq!(image.size() - before, fs::metadata(&shell).unwrap().len());
        assert_eq!(given.size(), image.size() - before);
        let again: Files = serde_json::from_str(&serde_json::to_string(&given.files).unwrap()).unwrap();
        assert_eq!(again, given.files);
    }
}

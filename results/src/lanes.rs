//! The lanes of a run in the order in which reports have them.

use crate::environment::Environment;
use crate::groups::Groups;
use crate::platform::Platform;
use crate::record::Record;

/// The lanes of a run in the order in which the report tells of them.
pub(crate) fn lanes<'a>(records: &'a [Record], environment: &Environment) -> Vec<Groups<'a>> {
    let mut platforms = Groups::split(records);
    platforms.sort_by_key(|groups| rank(environment, groups.platform));
    platforms
}

/// Where a lane stands in the report: the host's first, then the guests' in the order of their environment records, then what
/// has no environment record.
pub(crate) fn rank(environment: &Environment, platform: Platform<'_>) -> usize {
    let is = |environment: &Environment| environment.of(platform).is_some();
    let guest = environment.guests.iter().position(is).map(|index| index + 1);
    guest.unwrap_or(if is(environment) { HOST } else { usize::MAX })
}

/// [`rank`] of the lane that the environment record on top describes.
pub(crate) const HOST: usize = 0;

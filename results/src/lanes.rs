//! The lanes of a run in the order in which reports have them.

use crate::environment::Environment;
use crate::groups::Groups;
use crate::record::Record;
use crate::world::World;

/// The lanes of a run in the order in which the report tells of them.
pub(crate) fn lanes<'a>(records: &'a [Record], environment: &Environment) -> Vec<Groups<'a>> {
    let mut worlds = Groups::split(records);
    worlds.sort_by_key(|groups| place(environment, groups.world));
    worlds
}

/// Where a lane stands in the report: the host's first, then the guests' in the order of their passports, then what
/// has no passport.
pub(crate) fn place(environment: &Environment, world: World<'_>) -> usize {
    let is = |passport: &Environment| passport.of(world).is_some();
    let guest = environment.guests.iter().position(is).map(|index| index + 1);
    guest.unwrap_or(if is(environment) { HOST } else { usize::MAX })
}

/// [`place`] of the lane that the passport on top describes.
pub(crate) const HOST: usize = 0;

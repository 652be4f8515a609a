//! A seam for tests of whether a plan that is wrong is found.

use dataplane::Plan;

/// What is made of a plan before it is carried out and compared: [`unchanged`], but in such tests.
pub type Alter<'a> = &'a (dyn Fn(Plan) -> Plan + Send + Sync);

/// The plan as it is.
pub fn unchanged(plan: Plan) -> Plan {
    plan
}

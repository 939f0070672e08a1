//! The shapes of requests, one table per resource. Source: service model.

pub(crate) mod authorizer;
pub(crate) mod capacity_provider;
mod ec2;
pub(crate) mod endpoint;
pub(crate) mod filesystem;
pub(crate) mod name;
pub(crate) mod network;
pub(crate) mod policy;
pub(crate) mod runtime;
pub(crate) mod tag;

#[cfg(test)]
mod tests {
    use super::{capacity_provider, endpoint, policy, runtime, tag};
    use crate::shape::compile;

    #[test]
    fn every_pattern_compiles() {
        for table in [&runtime::CREATE[..], &runtime::UPDATE] {
            compile(table);
        }
        for table in [&endpoint::CREATE[..], &endpoint::UPDATE, &endpoint::DELETE] {
            compile(table);
        }
        for table in [&tag::TAG[..], &tag::UNTAG, &tag::LIST, &policy::PUT, &policy::NAMED] {
            compile(table);
        }
        for table in [
            &capacity_provider::CREATE[..],
            &capacity_provider::NAMED,
            &capacity_provider::UPDATE,
            &capacity_provider::DELETE,
        ] {
            compile(table);
        }
    }
}

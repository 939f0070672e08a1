//! Which isolation this server gives. Fails closed: what was not asked for by name is not weakened to, but for `innkeep dev`, loudly.

use std::path::Path;
use std::sync::Arc;

use innkeep_sandbox::ProcessDriver;
use innkeep_sandbox::container::{self, ContainerDriver, ContainerOptions, Finding};
use innkeep_sandbox::driver::{Driver, Unusable};
use innkeep_types::{Egress, Tier};
use tracing::{info, warn};

use crate::Error;
use crate::config::{Config, Isolation, Purpose};

/// What makes the sandboxes, and how far agents reach whose runtime does not say.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) egress: Egress,
}

/// Returns the driver for the isolation asked for.
pub(crate) async fn choose(config: &Config, data_dir: &Path) -> Result<Chosen, Error> {
    let driver = match config.isolation {
        Isolation::Process => process(data_dir)?,
        Isolation::Auto | Isolation::Container => match ContainerDriver::new(data_dir, options(config)).await {
            Ok(driver) => Arc::new(driver),
            Err(unusable) => {
                fall_back(config, unusable)?;
                process(data_dir)?
            }
        },
    };
    let capabilities = driver.capabilities();
    for caveat in &capabilities.caveats {
        let tier = capabilities.tier;
        match tier {
            Tier::Process => warn!(driver.tier = tier.as_str(), "{caveat}"),
            Tier::Container => info!(driver.tier = tier.as_str(), "{caveat}"),
        }
    }
    let egress = if settles_for_less(config) { egress(config, capabilities.no_network) } else { config.egress };
    Ok(Chosen { driver, egress })
}

/// Returns what this host can and cannot do for containers, as these settings ask for them. Uses `data_dir` for what it tries out.
pub async fn examine(config: &Config, data_dir: &Path) -> (Vec<Finding>, Result<(), Unusable>) {
    container::examine(data_dir, &options(config)).await
}

/// The one rule about who may get less than was meant: `innkeep dev`, where nobody else reaches the agent.
fn settles_for_less(config: &Config) -> bool {
    config.purpose == Purpose::Develop && config.listen.ip().is_loopback()
}

/// Returns if the server may go on with processes, though it should make containers; else why it may not.
fn fall_back(config: &Config, unusable: Unusable) -> Result<(), Error> {
    match config.isolation {
        Isolation::Auto if settles_for_less(config) => {
            let Unusable { why, fix } = unusable;
            warn!("the agent runs as an ordinary process, WITHOUT ISOLATION, because {why}; to have it: {fix}");
            Ok(())
        }
        Isolation::Auto => Err(Error::NoIsolation(unusable)),
        Isolation::Container | Isolation::Process => Err(Error::NoContainers(unusable)),
    }
}

/// No network instead of the public one is stricter, hence safe to go on with.
fn egress(config: &Config, no_network: Option<Unusable>) -> Egress {
    match no_network {
        Some(Unusable { why, fix }) if config.egress == Egress::Public => {
            warn!("the agent reaches NO NETWORK, because the public one cannot be had here: {why}; to have it: {fix}");
            Egress::None
        }
        _ => config.egress,
    }
}

fn options(config: &Config) -> ContainerOptions {
    let Config { base, allow_missing_limits, dns, .. } = config.clone();
    ContainerOptions { base, allow_missing_limits, dns }
}

fn process(data_dir: &Path) -> Result<Arc<dyn Driver>, Error> {
    let driver = ProcessDriver::new(data_dir).map_err(|e| Error::Driver(e.to_string()))?;
    Ok(Arc::new(driver))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(isolation: Isolation, purpose: Purpose, listen: &str) -> Config {
        Config { isolation, purpose, listen: listen.parse().unwrap(), ..Config::default() }
    }

    #[test]
    fn only_development_on_loopback_falls_back_and_only_from_auto() {
        for (isolation, purpose, listen, falls_back) in [
            (Isolation::Auto, Purpose::Develop, "127.0.0.1:0", true),
            (Isolation::Auto, Purpose::Develop, "[::1]:0", true),
            (Isolation::Auto, Purpose::Develop, "0.0.0.0:0", false),
            (Isolation::Auto, Purpose::Serve, "127.0.0.1:0", false),
            (Isolation::Container, Purpose::Develop, "127.0.0.1:0", false),
            (Isolation::Container, Purpose::Serve, "127.0.0.1:0", false),
        ] {
            let unusable = Unusable { why: "this kernel has none".to_owned(), fix: "take another".to_owned() };
            let outcome = fall_back(&config(isolation, purpose, listen), unusable);
            assert_eq!(outcome.is_ok(), falls_back, "{isolation:?} {purpose:?} {listen}");
            if let Err(error) = outcome {
                let says_process = error.fix().unwrap().contains("--isolation process");
                assert_eq!(says_process, isolation == Isolation::Auto, "{error}");
                assert!(error.to_string().contains("this kernel has none"), "{error}");
                assert!(error.fix().unwrap().contains("take another"), "{error}");
            }
        }
    }

    #[test]
    fn the_public_network_is_gone_without_only_where_it_was_meant_and_is_missing() {
        let develop = config(Isolation::Auto, Purpose::Develop, "127.0.0.1:0");
        let missing = Unusable { why: "no nft".to_owned(), fix: "install it".to_owned() };
        assert_eq!(egress(&develop, Some(missing)), Egress::None);
        assert_eq!(egress(&develop, None), Egress::Public);
    }

    #[tokio::test]
    async fn processes_are_taken_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let serve = config(Isolation::Process, Purpose::Serve, "127.0.0.1:0");
        let chosen = choose(&serve, dir.path()).await.unwrap();
        assert_eq!((chosen.driver.capabilities().tier, chosen.egress), (Tier::Process, Egress::Public));
    }
}

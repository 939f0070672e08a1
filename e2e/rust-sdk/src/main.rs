//! What tests/test_clients_rust.py has the AWS SDK for Rust do. Its parser of timestamps takes the one format of the model and no other.
//! Reads one JSON object from its first argument and prints another; `do` says what: `life` or `control_plane`.

mod control_plane;
mod life;

use std::error::Error;

use aws_sdk_bedrockagentcore as data;
use aws_sdk_bedrockagentcorecontrol as control;
use aws_smithy_http_client::Builder;
use control::primitives::DateTime;
use control::types::{AgentManagedRuntimeType, AgentRuntimeArtifact, Code, CodeConfiguration, S3Location};
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the test asks for.
struct Asked {
    control: control::Client,
    data: data::Client,
    artifact: AgentRuntimeArtifact,
    role: String,
    session: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let asked: Value = serde_json::from_str(&std::env::args().nth(1).ok_or("no argument")?)?;
    let text = |name: &str| asked[name].as_str().ok_or_else(|| format!("no {name}")).map(str::to_owned);
    let url = text("url")?;
    let key = control::config::Credentials::new(text("accessKey")?, text("secretKey")?, None, None, "test");
    let http = Builder::new().build_http();

    let control = control::Client::from_conf(
        control::Config::builder()
            .behavior_version(control::config::BehaviorVersion::latest())
            .region(control::config::Region::new("us-west-2"))
            .endpoint_url(&url)
            .credentials_provider(key.clone())
            .http_client(http.clone())
            .build(),
    );
    let data = data::Client::from_conf(
        data::Config::builder()
            .behavior_version(data::config::BehaviorVersion::latest())
            .region(data::config::Region::new("us-west-2"))
            .endpoint_url(&url)
            .credentials_provider(key)
            .http_client(http)
            .build(),
    );

    let location = S3Location::builder().bucket(text("bucket")?).prefix(text("prefix")?).build()?;
    let code = CodeConfiguration::builder()
        .code(Code::S3(location))
        .runtime(AgentManagedRuntimeType::from(text("runtime")?.as_str()))
        .entry_point(text("entryPoint")?)
        .build()?;
    let artifact = AgentRuntimeArtifact::CodeConfiguration(code);
    let wanted = asked["do"].as_str();
    let asked = Asked { control, data, artifact, role: text("role")?, session: text("session")? };
    let printed = match wanted {
        Some("life") => life::run(asked).await?,
        Some("control_plane") => control_plane::run(asked).await?,
        other => return Err(format!("cannot do {other:?}").into()),
    };
    println!("{printed}");
    Ok(())
}

fn seconds(time: &DateTime) -> f64 {
    time.as_secs_f64()
}

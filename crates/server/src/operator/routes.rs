//! The routes of the operator API: method, path below the prefix, operation. `openapi.json` describes each.

use http::Method;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    ListArtifacts,
    ShowProgress,
    ListRequests,
    UploadArtifact,
    RemoveArtifact,
    HasLayer,
    UploadLayer,
    ListRuntimes,
    ExplainFailure,
    SplitEndpoint,
    Rollback,
    DiffVersions,
    GetSettings,
    PutSettings,
    ListKeys,
    GetKey,
    CreateKey,
    ChangeKey,
    RotateKey,
    RemoveKey,
    MakeTemporaryKey,
    Prewarm,
    ListPools,
    ListInvocations,
    GetInvocation,
    CancelInvocation,
    ListSessions,
    StopSessions,
    ReadLogs,
    ReadAudit,
    Describe,
}

/// A segment in braces stands for any one segment.
const ROUTES: [(Method, &str, Operation); 31] = [
    (Method::GET, "artifacts", Operation::ListArtifacts),
    (Method::POST, "artifacts", Operation::UploadArtifact),
    (Method::DELETE, "artifacts/{digest}", Operation::RemoveArtifact),
    (Method::HEAD, "layers/{fingerprint}", Operation::HasLayer),
    (Method::PUT, "layers/{fingerprint}", Operation::UploadLayer),
    (Method::GET, "runtimes", Operation::ListRuntimes),
    (Method::GET, "runtimes/{runtimeId}/failure", Operation::ExplainFailure),
    (Method::GET, "runtimes/{runtimeId}/progress", Operation::ShowProgress),
    (Method::GET, "runtimes/{runtimeId}/requests", Operation::ListRequests),
    (Method::PUT, "runtimes/{runtimeId}/endpoints/{endpoint}/split", Operation::SplitEndpoint),
    (Method::POST, "runtimes/{runtimeId}/rollback", Operation::Rollback),
    (Method::GET, "runtimes/{runtimeId}/versions/diff", Operation::DiffVersions),
    (Method::GET, "runtimes/{runtimeId}/settings", Operation::GetSettings),
    (Method::PUT, "runtimes/{runtimeId}/settings", Operation::PutSettings),
    (Method::GET, "keys", Operation::ListKeys),
    (Method::POST, "keys", Operation::CreateKey),
    (Method::POST, "keys/temporary", Operation::MakeTemporaryKey),
    (Method::GET, "keys/{accessKeyId}", Operation::GetKey),
    (Method::PATCH, "keys/{accessKeyId}", Operation::ChangeKey),
    (Method::DELETE, "keys/{accessKeyId}", Operation::RemoveKey),
    (Method::POST, "keys/{accessKeyId}/rotate", Operation::RotateKey),
    (Method::POST, "runtimes/{runtimeId}/prewarm", Operation::Prewarm),
    (Method::GET, "pools", Operation::ListPools),
    (Method::GET, "invocations", Operation::ListInvocations),
    (Method::GET, "invocations/{invocationId}", Operation::GetInvocation),
    (Method::DELETE, "invocations/{invocationId}", Operation::CancelInvocation),
    (Method::GET, "sessions", Operation::ListSessions),
    (Method::POST, "sessions/stop", Operation::StopSessions),
    (Method::GET, "logs", Operation::ReadLogs),
    (Method::GET, "audit", Operation::ReadAudit),
    (Method::GET, "openapi.json", Operation::Describe),
];

/// Returns the operation, and what stands for the segments in braces.
pub(super) fn find<'a>(method: &Method, path: &'a str) -> Option<(Operation, Vec<&'a str>)> {
    ROUTES.iter().filter(|(m, ..)| m == method).find_map(|(_, route, operation)| Some((*operation, fit(route, path)?)))
}

fn fit<'a>(route: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let (mut expected, mut segments, mut values) = (route.split('/'), path.split('/'), Vec::new());
    loop {
        match (expected.next(), segments.next()) {
            (None, None) => return Some(values),
            (Some(name), Some(segment)) if name.starts_with('{') => values.push(segment),
            (Some(name), Some(segment)) if name == segment => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::operator::{OPENAPI, PREFIX};

    #[test]
    fn the_document_describes_every_route_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
                methods.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
            })
            .collect();
        let routes = ROUTES.iter().map(|(method, path, _)| (method.to_string(), format!("{PREFIX}{path}"))).collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn a_path_fits_as_a_whole_or_not_at_all() {
        assert_eq!(find(&Method::GET, "sessions"), Some((Operation::ListSessions, vec![])));
        assert_eq!(find(&Method::GET, "runtimes/a-b/failure"), Some((Operation::ExplainFailure, vec!["a-b"])));
        let split = find(&Method::PUT, "runtimes/a-b/endpoints/prod/split");
        assert_eq!(split, Some((Operation::SplitEndpoint, vec!["a-b", "prod"])));
        for (method, path) in [
            (Method::POST, "sessions"),
            (Method::GET, "sessions/stop"),
            (Method::GET, "runtimes/a/b/failure"),
            (Method::GET, "runtimes/a"),
            (Method::GET, ""),
        ] {
            assert_eq!(find(&method, path), None, "{method} {path}");
        }
    }
}

//! The operator API's access keys.

use http::Method;
use innkeep_protocol::operator::keys::{
    ChangeKey, CreateKey, CreatedKey, KeyList, KeyView, MakeTemporaryKey, RotateKey, TemporaryKey,
};

use crate::client::{Call, Client, encode};
use crate::error::Error;

const KEYS: &str = "/innkeep/v1/keys";

impl Client {
    /// Returns every access key, oldest first, without secrets.
    pub async fn keys(&self) -> Result<KeyList, Error> {
        self.json(Call::new(Method::GET, KEYS)).await
    }

    /// Returns an access key, without its secret.
    pub async fn get_key(&self, id: &str) -> Result<KeyView, Error> {
        self.json(Call::new(Method::GET, target(id, ""))).await
    }

    /// Makes an access key; the answer is the only one that has its secret.
    pub async fn create_key(&self, new: &CreateKey) -> Result<CreatedKey, Error> {
        self.json(Call::new(Method::POST, KEYS).json(new)?).await
    }

    /// Changes what an access key may do, or for how long it is good.
    pub async fn change_key(&self, id: &str, change: &ChangeKey) -> Result<KeyView, Error> {
        self.json(Call::new(Method::PATCH, target(id, "")).json(change)?).await
    }

    /// Makes an access key in place of another, which stays good for a while; the answer is the only one that has its secret.
    pub async fn rotate_key(&self, id: &str, how: &RotateKey) -> Result<CreatedKey, Error> {
        self.json(Call::new(Method::POST, target(id, "/rotate")).json(how)?).await
    }

    /// Removes an access key, and with it the temporary ones that it made.
    pub async fn remove_key(&self, id: &str) -> Result<(), Error> {
        self.send(Call::new(Method::DELETE, target(id, ""))).await.map(drop)
    }

    /// Makes a temporary key, which is stored nowhere.
    pub async fn make_temporary_key(&self, ask: &MakeTemporaryKey) -> Result<TemporaryKey, Error> {
        self.json(Call::new(Method::POST, format!("{KEYS}/temporary")).json(ask)?).await
    }
}

fn target(id: &str, what: &str) -> String {
    format!("{KEYS}/{}{what}", encode(id))
}

//! `mainstay-test-s3 <port> <folder> <access key> <secret key>`: an S3 server for tests, over a folder.

mod gateway;
mod integrity;

use std::error::Error;
use std::net::Ipv4Addr;

use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, folder, access_key, secret_key] = args.as_slice() else {
        return Err("usage: mainstay-test-s3 <port> <folder> <access key> <secret key>".into());
    };
    let app = gateway::app(folder, access_key, secret_key)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

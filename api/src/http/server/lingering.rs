//! Closes a connection whose client may still be sending.
//!
//! If a socket is closed while bytes of the client are unread, the system resets the connection, and the client loses a
//! response that it has not read yet. A client whose request body is too long would see a broken connection instead of
//! a 413. So the remaining bytes are read and discarded, as nginx does with its directive `lingering_close`.

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::Connection;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::poll_fn;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::time::timeout;

/// Maximum time for the client to read the response and to close its side.
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);

/// Waits until the last response is written, without closing the stream.
pub async fn served<S, H>(connection: &mut Connection<TokioIo<S>, H>) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Unpin> + Unpin,
{
    poll_fn(|cx| connection.poll_without_shutdown(cx)).await
}

/// Closes the connection after its last response, and waits until the client has also closed it.
pub async fn close<S, H>(connection: Connection<TokioIo<S>, H>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: HttpService<Incoming, ResBody = Body, Error = Infallible>,
{
    end(connection.into_parts().io.into_inner()).await;
}

async fn end(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let ended = async {
        stream.shutdown().await?;
        copy(&mut stream, &mut sink()).await
    };
    // A client that stays longer, or breaks the connection, does not need the response.
    let _ = timeout(LINGER_TIMEOUT, ended).await;
}

#[cfg(test)]
mod tests {
    use super::{LINGER_TIMEOUT, end};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn remaining_input_is_read_until_the_client_closes() {
        let (mut client, server) = duplex(16);
        let closing = tokio::spawn(end(server));
        client.write_all(&[b'x'; 1000]).await.unwrap();
        assert_eq!(
            client.read_u8().await.unwrap_err().kind(),
            std::io::ErrorKind::UnexpectedEof
        );
        assert!(!closing.is_finished());
        drop(client);
        closing.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_close_is_disconnected_after_5_seconds() {
        let (_client, server) = duplex(16);
        let began = Instant::now();
        end(server).await;
        assert_eq!(began.elapsed(), LINGER_TIMEOUT);
    }
}

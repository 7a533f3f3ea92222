//! How requests and answers are read from and written to a stream.

use std::io;

use async_trait::async_trait;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};

use super::{
    limits::{ANSWER_BYTES_MAX, REQUEST_BYTES_MAX},
    wire::{self, Answer, Request},
};

/// Reads and writes one value a direction; the end of the stream ends it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Codec;

/// All bytes up to the end of the stream, at most `bytes_max`.
async fn read_all(
    stream: &mut (impl AsyncRead + Unpin + Send),
    bytes_max: usize,
) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    stream.take(limit).read_to_end(&mut bytes).await?;
    if bytes.is_empty() {
        // The other side has given up: it was told nothing, or found no answer in time.
        Err(io::ErrorKind::UnexpectedEof.into())
    } else if bytes.len() > bytes_max {
        Err(invalid("too long"))
    } else {
        Ok(bytes)
    }
}

fn invalid(error: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

#[async_trait]
impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        wire::decode_request(&read_all(io, REQUEST_BYTES_MAX).await?).map_err(invalid)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        wire::decode_answer(&read_all(io, ANSWER_BYTES_MAX).await?).map_err(invalid)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&wire::encode_request(&request).map_err(invalid)?).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Answer,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&wire::encode_answer(&answer).map_err(invalid)?).await
    }
}

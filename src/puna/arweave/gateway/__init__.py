"""The gateway's room: Arweave's HTTP, the uploader and GraphQL over one weave. See docs/gateway.md."""

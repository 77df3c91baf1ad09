"""Everything that the endpoints of one REST API process use, put together."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from broker.port import Blobs, Broker
from registry.live import SessionStore, WorkerDirectory
from registry.networks.store import NetworkStore
from registry.records import (
    Database,
    IdempotencyRecords,
    KeyRecords,
    NetworkRecords,
    PoolRecords,
    SessionRecords,
    VersionRecords,
)
from rest_api.commands.delivery import CommandDelivery
from rest_api.commands.service import CommandService
from rest_api.edge.authentication import KeyRing
from rest_api.edge.observation import Metrics
from rest_api.networks.onnx import OnnxService
from rest_api.networks.service import NetworkService
from rest_api.networks.triton import TritonService
from rest_api.networks.unnamed import HOUR_MS, UnnamedWeights
from rest_api.pools.service import PoolService
from rest_api.sessions.liveness import Liveness
from rest_api.sessions.service import SessionService
from rest_api.sessions.streams import Streams
from rest_api.settings import RestSettings


@dataclass(frozen=True, slots=True)
class Connections:
    """What this process is connected to."""

    database: Database
    sessions: Redis
    cache: Redis
    broker: Broker
    blobs: Blobs


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases, and the records behind those that only read."""

    connections: Connections
    settings: RestSettings
    metrics: Metrics
    key_ring: KeyRing
    networks: NetworkService
    onnx_networks: OnnxService
    triton_networks: TritonService
    sessions: SessionService
    commands: CommandService
    pools: PoolService
    workers: WorkerDirectory
    liveness: Liveness
    unnamed_weights: UnnamedWeights
    network_records: NetworkRecords
    version_records: VersionRecords
    session_records: SessionRecords
    key_records: KeyRecords
    pool_records: PoolRecords
    answers: IdempotencyRecords

    @classmethod
    def over(cls, connections: Connections, settings: RestSettings) -> Services:
        """Build the services over open connections."""
        database = connections.database
        networks, versions = NetworkRecords(database), VersionRecords(database)
        sessions, keys, pools = (
            SessionRecords(database),
            KeyRecords(database),
            PoolRecords(database),
        )
        store = SessionStore(connections.sessions)
        workers = WorkerDirectory(connections.sessions)
        metrics = Metrics()
        liveness = Liveness(sessions, store)
        network_store = NetworkStore(connections.blobs, connections.cache)
        network_service = NetworkService(
            networks,
            versions,
            network_store,
            liveness,
            max_parameters=settings.rest_max_parameters,
        )
        streams = Streams(
            store,
            workers,
            connections.broker,
            gateway_urls=tuple(settings.rest_stream_url.split(",")),
            ticket_ttl_s=settings.rest_ticket_ttl_s,
        )
        session_service = SessionService(sessions, versions, pools, store, workers, streams)
        return cls(
            connections=connections,
            settings=settings,
            metrics=metrics,
            key_ring=KeyRing(keys, connections.cache, metrics),
            networks=network_service,
            onnx_networks=OnnxService(
                network_store,
                network_service,
                max_model_bytes=settings.rest_max_model_bytes,
            ),
            triton_networks=TritonService(
                network_service,
                allowed=[one for one in settings.rest_triton_servers.split(",") if one],
                timeout_s=settings.rest_triton_timeout_s,
            ),
            sessions=session_service,
            commands=CommandService(
                CommandDelivery(connections.broker, store),
                session_service,
                network_service,
                versions,
                timeout_s=settings.rest_command_timeout_s,
            ),
            pools=PoolService(pools, workers, connections.broker),
            workers=workers,
            liveness=liveness,
            unnamed_weights=UnnamedWeights(
                network_store,
                versions,
                metrics,
                kept_ms=int(settings.rest_unnamed_weights_hours * HOUR_MS),
            ),
            network_records=networks,
            version_records=versions,
            session_records=sessions,
            key_records=keys,
            pool_records=pools,
            answers=IdempotencyRecords(database),
        )

// The public names, and nothing else. `docs/api.md` explains them.

export type { OutgoingBatchMessage, SendResult } from './api/batch.ts';
export {
  type CertificateAuthority,
  type CertificateVerdict,
  createCA,
  generateKeyPair,
  type IssuedCertificate,
  type IssueOptions,
  issueAuthority,
  issueCertificate,
  readCertificate,
  type ValidityOptions,
  type VerifyCertificateOptions,
  verifyCertificate,
} from './api/certificates.ts';
export {
  type CloseOptions,
  type CloseResult,
  Connection,
  type ConnectionEvents,
} from './api/connection.ts';
export { ConnectionError } from './api/connection-error.ts';
export {
  type AllowWithoutAuth,
  type CredentialInput,
  type CredentialOptions,
  Credentials,
  type CredentialsEvents,
} from './api/credentials.ts';
export type { Diagnosis, DiagnosisFacts, DiagnosisKind } from './api/explain.ts';
export type { FakeNetworkCounts, TracedPacket } from './api/fake-network.ts';
export type { LaneStream } from './api/lane-stream.ts';
export {
  type ClientRefusal,
  IncomingConnection,
  type ListenOptions,
  ListenSocket,
  type ListenSocketEvents,
} from './api/listen-socket.ts';
export { LOG_LEVELS, type LogEntry, type LogLevel, type LogOptions } from './api/log.ts';
export {
  Messages,
  type MessagesEvents,
  type MessagesOptions,
  type SendToUserOptions,
  SessionRequest,
} from './api/messages.ts';
export { Networking } from './api/networking.ts';
export type { ConnectAndWaitOptions, ConnectOptions, NetworkingOptions } from './api/options.ts';
export type {
  ConnectP2POptions,
  ListenP2POptions,
  P2POptions,
  P2PSignalContext,
  P2PSignaling,
  P2PSignalingService,
} from './api/p2p.ts';
export type { CheckFailure, PeerCertificate, PeerVerdict } from './api/peer-certificate.ts';
export { type GroupMessage, PollGroup, type PollGroupEvents } from './api/poll-group.ts';
export type { SendOptions } from './api/sending.ts';
export type { SocketPairOptions } from './api/socket-pair.ts';
export type { ConnectionStatus, LaneStatus } from './api/status.ts';
export { IpAddress } from './core/base/address.ts';
export { ERROR_RESULTS, type ErrorCode, NetworkingError } from './core/base/errors.ts';
export { Identity } from './core/base/identity.ts';
export type { CertificateDetails } from './core/certs/certificate.ts';
export type { KeyPair } from './core/certs/issue.ts';
export type { RefusalKind } from './core/certs/verify.ts';
export { parseConfigValue } from './core/config/conversion.ts';
export { ConfigScope } from './core/config/scope.ts';
export {
  CONFIG_VALUES,
  type ConfigName,
  type ConfigOptions,
  type ConfigValues,
  type ConnectionConfigOptions,
  findConfigValue,
} from './core/config/values.ts';
export { EndReason, endReasonName } from './core/connection/end-reason.ts';
export { type ConnectionFlags, type ConnectionInfo, flagBits, type StateChange } from './core/connection/info.ts';
export type { RateLimit } from './core/connection/rate-watch.ts';
export { type ConnectionState, FACTS as CONNECTION_STATES } from './core/connection/state-table.ts';
export type { LaneOptions } from './core/delivery/lane-scheduler.ts';
export type { Fate, IncomingMessage, Receipt } from './core/delivery/message.ts';
export type { AdmissionHook, Applicant, CertificateClaims } from './core/endpoint/admission.ts';
export type { SessionMessage } from './core/endpoint/channel-inbox.ts';
export { DROP_REASONS, type DropReason, type ListenLimits, type StrangerStats } from './core/endpoint/gate.ts';
export type { SessionEnd } from './core/endpoint/sessions.ts';
export type { CandidateRow, CheckRow } from './core/ice/ice-agent.ts';
export type { RouteProblemKind, RouteReport, TurnReport } from './core/ice/route-report.ts';
export type { NetAddress, Platform } from './core/platform.ts';
export { nodePlatform } from './node/platform.ts';

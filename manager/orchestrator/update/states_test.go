package update

import clusterpb "github.com/muster/muster/proto/cluster/v1"

// The states of a rollout under short names, to keep the tables readable.
const (
	updating           = clusterpb.UpdateStatus_STATE_UPDATING
	paused             = clusterpb.UpdateStatus_STATE_PAUSED
	completed          = clusterpb.UpdateStatus_STATE_COMPLETED
	rollbackStarted    = clusterpb.UpdateStatus_STATE_ROLLBACK_STARTED
	rollbackPaused     = clusterpb.UpdateStatus_STATE_ROLLBACK_PAUSED
	rollbackCompleted  = clusterpb.UpdateStatus_STATE_ROLLBACK_COMPLETED
	waitingForApproval = clusterpb.UpdateStatus_STATE_CANARY
)

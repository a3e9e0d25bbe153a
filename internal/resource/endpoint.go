package resource

// EndpointStatus is a status of the API (EP-1 to EP-9).
type EndpointStatus string

// Every status: the eight of the seed, and the one that came later (SD-3).
const (
	EndpointCreating             EndpointStatus = "Creating"
	EndpointInService            EndpointStatus = "InService"
	EndpointUpdating             EndpointStatus = "Updating"
	EndpointSystemUpdating       EndpointStatus = "SystemUpdating"
	EndpointRollingBack          EndpointStatus = "RollingBack"
	EndpointOutOfService         EndpointStatus = "OutOfService"
	EndpointDeleting             EndpointStatus = "Deleting"
	EndpointFailed               EndpointStatus = "Failed"
	EndpointUpdateRollbackFailed EndpointStatus = "UpdateRollbackFailed"
)

// Busy reports a status in which the endpoint takes no change (CP-53).
func (s EndpointStatus) Busy() bool {
	switch s {
	case EndpointCreating, EndpointUpdating, EndpointSystemUpdating, EndpointRollingBack, EndpointDeleting:
		return true
	}
	return false
}

// Serves reports a status in which requests are let through (EP-2 to EP-9).
func (s EndpointStatus) Serves() bool {
	switch s {
	case EndpointInService, EndpointUpdating, EndpointSystemUpdating, EndpointRollingBack, EndpointUpdateRollbackFailed:
		return true
	}
	return false
}

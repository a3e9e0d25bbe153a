package instance

import (
	"maps"
	"strconv"
)

// BatchEnv is what the environment of a batch container is made of. The fields
// besides the maps are set only when the user set them in the request (CC-41).
type BatchEnv struct {
	// Model and Job are the variables of the model and of the job; the job's win
	// (CC-46).
	Model, Job map[string]string
	// MaxConcurrentTransforms is nil or 0 when unset (CC-32).
	MaxConcurrentTransforms *int
	MaxPayloadInMB          *int
	// BatchStrategy is as containers spell it, MULTI_RECORD or SINGLE_RECORD, or "".
	BatchStrategy string
}

// Map gives a new map with the variables of the platform over those of the job
// over those of the model (CC-40, CC-41, CC-46).
func (e BatchEnv) Map() map[string]string {
	env := make(map[string]string, len(e.Model)+len(e.Job)+4)
	maps.Copy(env, e.Model)
	maps.Copy(env, e.Job)
	env["SAGEMAKER_BATCH"] = "true"
	if n := e.MaxConcurrentTransforms; n != nil && *n != 0 {
		env["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = strconv.Itoa(*n)
	}
	if n := e.MaxPayloadInMB; n != nil {
		env["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = strconv.Itoa(*n)
	}
	if e.BatchStrategy != "" {
		env["SAGEMAKER_BATCH_STRATEGY"] = e.BatchStrategy
	}
	return env
}

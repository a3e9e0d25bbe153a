package resource

import "strconv"

// Model is a stored SageMaker model: which containers serve it, and with what.
type Model struct {
	Meta
	Spec ModelSpec
}

// ModelSpec is what CreateModel was given (CP-30, CP-31).
type ModelSpec struct {
	// Container is PrimaryContainer; it is empty when Containers were sent instead.
	Container Container
	// Containers are those of an inference pipeline, or of direct invocation, in
	// their order (CC-70); nil when PrimaryContainer was sent.
	Containers []Container
	// Direct lets callers name one of Containers instead of passing through all of
	// them (CC-75).
	Direct                 bool
	ExecutionRoleArn       string
	EnableNetworkIsolation bool
}

// MaxContainers bounds the containers of a model (CC-70).
const MaxContainers = 15

// All gives the model's containers in order, one or more.
func (m ModelSpec) All() []Container {
	if len(m.Containers) > 0 {
		return m.Containers
	}
	return []Container{m.Container}
}

// ContainerName is the name of container i in logs and errors: the hostname that
// the user gave, or the real service's own (CC-73, RT-6).
func (m ModelSpec) ContainerName(i int) string {
	all := m.All()
	switch {
	case all[i].Hostname != "":
		return all[i].Hostname
	case len(m.Containers) == 0:
		return "primary"
	}
	return "container-" + strconv.Itoa(i+1)
}

// MultiModel reports whether one of the containers serves many models (CC-80).
func (m ModelSpec) MultiModel() bool {
	for _, c := range m.All() {
		if c.MultiModel {
			return true
		}
	}
	return false
}

// Container is a ContainerDefinition.
type Container struct {
	Image        string
	Hostname     string
	ModelDataURL string
	// Data is ModelDataSource, nil when it was not sent; ModelDataURL is "" then.
	Data *ModelData `json:",omitempty"`
	// Extra are the AdditionalModelDataSources (CC-16).
	Extra []ExtraData `json:",omitempty"`
	// Environment is nil when it was not sent.
	Environment map[string]string
	// MultiModel says that ModelDataURL is a prefix and the models below it are
	// loaded one by one (CC-80). Uncached says not to keep them in memory.
	MultiModel bool `json:",omitempty"`
	Uncached   bool `json:",omitempty"`
	// PlatformImage says that ImageConfig was sent, with the access that is the default.
	PlatformImage bool `json:",omitempty"`
}

// ModelData is an S3ModelDataSource (CC-14).
type ModelData struct {
	S3URI string
	// Prefix reads every object below S3URI, otherwise S3URI names one.
	Prefix bool
	// Gzip says that what is there is one .tar.gz.
	Gzip bool
	// ETag pins the object, "" does not.
	ETag string `json:",omitempty"`
	// AcceptEula is what was sent as ModelAccessConfig; nil is nothing. It is echoed.
	AcceptEula *bool `json:",omitempty"`
}

// ExtraData is one channel of AdditionalModelDataSources.
type ExtraData struct {
	Channel string
	ModelData
}

// Sources gives all model data of a container: the model's own under "", and that
// of each channel under its name.
func (c Container) Sources() map[string]ModelData {
	all := map[string]ModelData{}
	switch {
	case c.MultiModel:
	case c.Data != nil:
		all[""] = *c.Data
	case c.ModelDataURL != "":
		all[""] = ModelData{S3URI: c.ModelDataURL, Gzip: true} // CC-10
	}
	for _, e := range c.Extra {
		all[e.Channel] = e.ModelData
	}
	return all
}

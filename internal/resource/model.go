package resource

// Model is a stored SageMaker model: which container serves it, and with what.
type Model struct {
	Meta
	Spec ModelSpec
}

// ModelSpec is what CreateModel was given (CP-30, CP-31).
type ModelSpec struct {
	Container              Container
	ExecutionRoleArn       string
	EnableNetworkIsolation bool
}

// Container is a ContainerDefinition of one container.
type Container struct {
	Image        string
	Hostname     string
	ModelDataURL string
	// Environment is nil when it was not sent.
	Environment map[string]string
}

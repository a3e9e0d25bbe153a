// Package config is the one place where settings of the server are defined: their
// names, defaults and help. A setting comes, in rising order of precedence, from
// its default, the configuration file, the environment (SAGEBRUSH_ and the name in
// upper case) and the command line.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// Config is what a server runs with. Every field stands in the table of Settings,
// except Images, Remap and DockerCapabilities, which only the file can hold, and
// Secrets.
type Config struct {
	Listen          string        `koanf:"listen"`
	Data            string        `koanf:"data"`
	Ephemeral       bool          `koanf:"ephemeral"`
	Auth            string        `koanf:"auth"`
	Account         string        `koanf:"account"`
	Region          string        `koanf:"region"`
	Compat          string        `koanf:"compat"`
	S3              string        `koanf:"s3"`
	S3Endpoint      string        `koanf:"s3-endpoint"`
	ReadyTimeout    time.Duration `koanf:"ready-timeout"`
	StopGrace       time.Duration `koanf:"stop-grace"`
	MaxInstances    int           `koanf:"max-instances"`
	MaxAnswerMB     int           `koanf:"max-answer-mb"`
	ModelCacheGB    int           `koanf:"model-cache-gb"`
	RuntimePatience time.Duration `koanf:"runtime-patience"`
	AlwaysNewline   bool          `koanf:"assemble-always-newline"`
	LogDays         int           `koanf:"log-days"`
	LogTotalMB      int           `koanf:"log-total-mb"`
	LogStreamMB     int           `koanf:"log-stream-mb"`
	LogWholePages   bool          `koanf:"log-whole-pages"`
	LogLevel        string        `koanf:"log-level"`
	MasterKeyFile   string        `koanf:"master-key-file"`
	KMS             string        `koanf:"kms"`
	Volumes         string        `koanf:"volumes"`
	VolumeMemoryMB  int           `koanf:"volume-memory-mb"`
	RateLimit       int           `koanf:"rate-limit"`

	// Secrets come from the environment alone.
	Secrets Secrets `koanf:"-"`

	Runtime         string        `koanf:"runtime"`
	DockerHost      string        `koanf:"docker-host"`
	DockerReadOnly  bool          `koanf:"docker-read-only-root"`
	DockerPids      int           `koanf:"docker-pids"`
	DockerEmulation bool          `koanf:"docker-emulation"`
	DockerSubnets   string        `koanf:"docker-subnets"`
	DockerReachHost bool          `koanf:"docker-reach-host"`
	KubeConfig      string        `koanf:"kubernetes-config"`
	KubeContext     string        `koanf:"kubernetes-context"`
	KubeNamespace   string        `koanf:"kubernetes-namespace"`
	KubeData        string        `koanf:"kubernetes-data"`
	EndpointStartup time.Duration `koanf:"endpoint-startup"`
	InvokeTimeout   time.Duration `koanf:"invoke-timeout"`
	InvokeMB        int           `koanf:"invoke-mb"`
	InvokeWaiting   int           `koanf:"invoke-waiting"`
	DrainTime       time.Duration `koanf:"drain-time"`
	WakeWait        time.Duration `koanf:"wake-wait"`
	KeepAlive       time.Duration `koanf:"keep-alive"`
	ScalingPeriod   time.Duration `koanf:"scaling-period"`
	Capacity        string        `koanf:"capacity"`
	HostCPUs        int           `koanf:"host-cpus"`
	HostMemoryMB    int           `koanf:"host-memory-mb"`
	HostGPUs        int           `koanf:"host-gpus"`
	WarmTime        time.Duration `koanf:"warm-time"`
	TLSCert         string        `koanf:"tls-cert"`
	TLSKey          string        `koanf:"tls-key"`
	// DockerCapabilities are kept in addition to those of every container.
	DockerCapabilities []string `koanf:"docker-capabilities"`
	// Images maps image names to local commands; the built-in ones come after it.
	Images []Image `koanf:"images"`
	// Remap replaces image names before they are looked up, first match first.
	Remap []Remap `koanf:"remap"`
}

// Image says how an image runs as a process. Its pattern may hold * wildcards.
type Image struct {
	Image   string            `koanf:"image"`
	Command []string          `koanf:"command"`
	Dir     string            `koanf:"dir"`
	Env     map[string]string `koanf:"env"`
}

// Remap replaces images that match a pattern with * wildcards by another name.
type Remap struct {
	From string `koanf:"from"`
	To   string `koanf:"to"`
}

// Setting describes one setting for flags, environment, file and documentation.
type Setting struct {
	Name    string
	Default any // string, bool, int or time.Duration
	Help    string
	// Choices are the values that are allowed, where there are few.
	Choices []string
}

// Env is the environment variable of the setting.
func (s Setting) Env() string {
	return "SAGEBRUSH_" + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// Settings is the table that everything else is made from.
func Settings() []Setting {
	return []Setting{
		{Name: "listen", Default: "127.0.0.1:7243", Help: "address and port to serve on; port 0 takes a free one"},
		{Name: "tls-cert", Default: "", Help: "file of the certificate to serve TLS with, and those that it needs, in PEM; read again when it changes"},
		{Name: "tls-key", Default: "", Help: "file of the certificate's private key, in PEM"},
		{Name: "data", Default: defaultData(), Help: "folder of the database, the embedded S3's buckets and the logs"},
		{Name: "ephemeral", Default: false, Help: "keep everything in a temporary folder that is removed at the end"},
		{Name: "auth", Default: "auto", Choices: []string{"auto", "open", "keys"}, Help: "who may call: keys (only access keys that the server knows), open (any key; loopback only), auto (open on loopback, else keys)"},
		{Name: "account", Default: "000000000000", Help: "the AWS account number that ARNs carry"},
		{Name: "region", Default: "us-east-1", Help: "the region of requests that do not name one"},
		{Name: "compat", Default: Latest, Choices: []string{Latest, Seed}, Help: "which age of the service to behave like where they differ"},
		{Name: "s3", Default: "auto", Choices: []string{"auto", "embedded", "remote"}, Help: "where jobs read and write: the embedded S3, or another by the usual AWS environment; auto is remote where an S3 endpoint is set"},
		{Name: "s3-endpoint", Default: "", Help: "URL of another S3 to use instead of the embedded one (also AWS_ENDPOINT_URL_S3)"},
		{Name: "ready-timeout", Default: 30 * time.Minute, Help: "how long a container of a job may take to answer /ping with 200"},
		{Name: "stop-grace", Default: 30 * time.Second, Help: "how long a container may take to end after SIGTERM, before SIGKILL"},
		{Name: "max-instances", Default: max(32, 8*runtime.NumCPU()), Help: "how many instances run at once; further jobs wait in the order they came"},
		{Name: "max-answer-mb", Default: 256, Help: "the largest answer to one request that is accepted of a container, in units of 2^20 bytes"},
		{Name: "capacity", Default: "share", Choices: []string{"share", "fit", "refuse"}, Help: "what an InstanceType means on this host: share bounds each instance by its type and the host; fit reserves CPUs, memory and GPUs, shrinks what is larger than the host, and lets jobs wait; refuse shrinks nothing and refuses what can never fit"},
		{Name: "host-cpus", Default: 0, Help: "CPUs that instances may use together; 0 is what the machine has"},
		{Name: "host-memory-mb", Default: 0, Help: "memory that instances may use together, in units of 2^20 bytes; 0 is what the machine has"},
		{Name: "host-gpus", Default: -1, Help: "GPUs that instances may use; -1 is what the machine has"},
		{Name: "endpoint-startup", Default: 8 * time.Minute, Help: "how long a container of an endpoint may take to answer /ping with 200, where its variant does not say"},
		{Name: "invoke-timeout", Default: time.Minute, Help: "how long a container of an endpoint may take for an answer"},
		{Name: "invoke-mb", Default: 6, Help: "the largest request to an endpoint, in units of 2^20 bytes"},
		{Name: "invoke-waiting", Default: 1000, Help: "how many requests to an endpoint may wait for an instance; further ones are refused at once"},
		{Name: "drain-time", Default: time.Minute, Help: "how long requests may take to end on an instance that is to be stopped"},
		{Name: "wake-wait", Default: time.Minute, Help: "how long a request waits for an instance that is on its way"},
		{Name: "keep-alive", Default: 15 * time.Minute, Help: "how long a variant that may have no instance keeps its last one unused"},
		{Name: "scaling-period", Default: 10 * time.Second, Help: "how often variants with autoscaling are measured; a count rises after 3 periods and falls after 15"},
		{Name: "warm-time", Default: time.Duration(0), Help: "how long the instances of a finished job are kept, ready for a job with the same images, model, environment and instance type; 0 is not at all"},
		{Name: "runtime", Default: "auto", Choices: []string{"auto", "process", "docker", "kubernetes"}, Help: "what runs images; auto runs those that are built in or mapped to a command as processes, all others on Docker"},
		{Name: "docker-host", Default: "", Help: "address of the container engine, such as unix:///var/run/docker.sock (also DOCKER_HOST, or the Docker context)"},
		{Name: "docker-read-only-root", Default: false, Help: "make the files of containers read-only, all but /tmp, /run and the scratch folder"},
		{Name: "docker-pids", Default: 8192, Help: "how many processes and threads one container may have"},
		{Name: "docker-emulation", Default: false, Help: "start images of another architecture, where the machine can emulate it"},
		{Name: "docker-subnets", Default: "198.18.0.0/15", Help: "where the networks of containers get their addresses, eight for each: an IPv4 prefix that nothing else here uses"},
		{Name: "docker-reach-host", Default: false, Help: "let containers connect to services of this machine and to link-local addresses, which is prevented otherwise"},
		{Name: "kubernetes-config", Default: "", Help: "file that says where the Kubernetes cluster is (also KUBECONFIG); none is ~/.kube/config, or the account of the pod that the server runs in"},
		{Name: "kubernetes-context", Default: "", Help: "context of that file; none is its current one"},
		{Name: "kubernetes-namespace", Default: "", Help: "namespace in which pods run; none is the context's, or the server's own"},
		{Name: "kubernetes-data", Default: "host", Help: "how pods see the data folder: host (every node has it at the same path), or claim:NAME (a PersistentVolumeClaim whose root it is)"},
		{Name: "model-cache-gb", Default: 20, Help: "how much unpacked model data stays on disk for later jobs, in units of 2^30 bytes; what is in use may be more"},
		{Name: "runtime-patience", Default: 30 * time.Minute, Help: "how long a job waits for a container engine that does not answer"},
		{Name: "assemble-always-newline", Default: false, Help: "with AssembleWith=Line add a newline after each answer, even if it ends in one"},
		{Name: "log-days", Default: 30, Help: "how many days what instances print is kept, where its log group has no retention policy; 0 is for ever"},
		{Name: "log-total-mb", Default: 10240, Help: "how much of what instances print is kept in all, in units of 2^20 bytes; the oldest goes first; 0 is without bound"},
		{Name: "log-stream-mb", Default: 64, Help: "how much is kept of one instance's output, in units of 2^20 bytes; at least 16"},
		{Name: "log-whole-pages", Default: false, Help: "let DescribeLogStreams ignore a limit under 50, so that SageMaker SDK v2 prints no line twice"},
		{Name: "master-key-file", Default: "", Help: "file of the key under which secrets in the database are sealed; made when it is not there; none is master.key in the data folder"},
		{Name: "kms", Default: "embedded", Choices: []string{"embedded", "aws"}, Help: "whose keys encrypt volumes, logs and objects of the embedded S3: this server's, or AWS KMS's by the usual AWS environment"},
		{Name: "volumes", Default: "auto", Choices: []string{"auto", "encrypted", "memory"}, Help: "what VolumeKmsKeyId means: encrypted (on disk, by gocryptfs), memory (nothing on disk), auto (encrypted where this host can do it, else memory)"},
		{Name: "volume-memory-mb", Default: 0, Help: "the most that the volume of one job or variant may hold in memory, in units of 2^20 bytes; 0 is half of the machine's memory"},
		{Name: "rate-limit", Default: 0, Help: "how many requests a second each access key may make, and twice as many at once; its sessions count, and all unknown keys together are one; 0 is without limit"},
		{Name: "log-level", Default: "info", Choices: []string{"debug", "info", "warn", "error"}, Help: "how much the server says of itself on standard error"},
	}
}

// The ages of the service that compat knows.
const (
	Latest = "latest"
	Seed   = "2018-08-30"
)

// defaultData is ~/.sagebrush, or a folder here where there is no home.
func defaultData() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return "sagebrush-data"
	}
	return filepath.Join(home, ".sagebrush")
}

// EnvFile is the variable that names the configuration file where nothing else does.
const EnvFile = "SAGEBRUSH_CONFIG"

// Load merges the sources. path may be "" for the file that EnvFile names, or none;
// given are the settings of the command line, by name, only those that were given.
func Load(path string, env func(string) (string, bool), given map[string]any) (Config, error) {
	if path == "" {
		path, _ = env(EnvFile)
	}
	k := koanf.New("\x00") // no delimiter: names are flat
	values := map[string]any{}
	for _, s := range Settings() {
		values[s.Name] = s.Default
	}
	if err := k.Load(confmap.Provider(values, ""), nil); err != nil {
		return Config{}, err
	}
	if path != "" {
		if err := loadFile(k, path); err != nil {
			return Config{}, err
		}
	}
	over := map[string]any{}
	for _, s := range Settings() {
		if v, ok := env(s.Env()); ok {
			over[s.Name] = v
		}
		if v, ok := given[s.Name]; ok {
			over[s.Name] = v
		}
	}
	if err := k.Load(confmap.Provider(over, ""), nil); err != nil {
		return Config{}, err
	}
	var c Config
	if err := k.Unmarshal("", &c); err != nil {
		return Config{}, fmt.Errorf("a setting has a value of the wrong kind: %w", err)
	}
	c.Secrets = secrets(env)
	return c, c.check()
}

// loadFile reads a YAML file and refuses names that are not settings.
func loadFile(k *koanf.Koanf, path string) error {
	f := koanf.New("\x00")
	if err := f.Load(file.Provider(path), yaml.Parser()); err != nil {
		return fmt.Errorf("the configuration file %s: %w", path, err)
	}
	for name := range f.Raw() {
		known := name == "images" || name == "remap" || name == "docker-capabilities" || slices.ContainsFunc(Settings(), func(s Setting) bool { return s.Name == name })
		if !known {
			return fmt.Errorf("the configuration file %s sets %q, which is not a setting; `sagebrush serve --help` lists them", path, name)
		}
	}
	return k.Merge(f)
}

// check refuses values that make no sense.
func (c Config) check() error {
	for _, s := range Settings() {
		if len(s.Choices) == 0 {
			continue
		}
		got := map[string]string{"auth": c.Auth, "compat": c.Compat, "s3": c.S3, "runtime": c.Runtime, "capacity": c.Capacity, "kms": c.KMS, "volumes": c.Volumes, "log-level": c.LogLevel}[s.Name]
		if !slices.Contains(s.Choices, got) {
			return fmt.Errorf("%s is %q, and may be one of %s", s.Name, got, strings.Join(s.Choices, ", "))
		}
	}
	if len(c.Account) != 12 || strings.Trim(c.Account, "0123456789") != "" {
		return fmt.Errorf("account is %q, and must have 12 digits", c.Account)
	}
	if c.S3 == "embedded" && c.S3Endpoint != "" {
		return fmt.Errorf("s3 is embedded and s3-endpoint is %s: which one is meant? Leave one of them out", c.S3Endpoint)
	}
	if c.MaxInstances < 1 || c.MaxAnswerMB < 1 {
		return fmt.Errorf("max-instances and max-answer-mb must be at least 1")
	}
	if c.RateLimit < 0 {
		return fmt.Errorf("rate-limit is %d, and must not be under 0", c.RateLimit)
	}
	if c.LogDays < 0 || c.LogTotalMB < 0 || c.LogStreamMB < 16 {
		return fmt.Errorf("log-days and log-total-mb must not be under 0, nor log-stream-mb under 16")
	}
	if c.EndpointStartup <= 0 || c.InvokeTimeout <= 0 || c.InvokeMB < 1 || c.InvokeWaiting < 0 || c.DrainTime < 0 || c.WakeWait < 0 || c.WarmTime < 0 || c.KeepAlive <= 0 || c.ScalingPeriod <= 0 {
		return fmt.Errorf("endpoint-startup, invoke-timeout, invoke-mb, keep-alive and scaling-period must be over 0, and invoke-waiting, drain-time, wake-wait and warm-time not under it")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return fmt.Errorf("tls-cert and tls-key belong together, and one of them is missing")
	}
	if c.VolumeMemoryMB < 0 {
		return fmt.Errorf("volume-memory-mb is %d, and must not be under 0", c.VolumeMemoryMB)
	}
	if c.ModelCacheGB < 0 {
		return fmt.Errorf("model-cache-gb is %d, and must not be under 0", c.ModelCacheGB)
	}
	if c.ReadyTimeout <= 0 || c.StopGrace < 0 || c.RuntimePatience < 0 {
		return fmt.Errorf("ready-timeout must be over 0, and stop-grace and runtime-patience not under it")
	}
	for _, image := range c.Images {
		if image.Image == "" || len(image.Command) == 0 {
			return fmt.Errorf("an entry of images needs an image and a command; it has %q and %q", image.Image, image.Command)
		}
		if image.Dir != "" && !filepath.IsAbs(image.Dir) {
			return fmt.Errorf("the dir of image %q is %q, and must be an absolute path", image.Image, image.Dir)
		}
	}
	return nil
}

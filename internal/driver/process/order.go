package process

import (
	"cmp"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// The server and the shim talk in JSON values over two pipes. On its standard
// input the shim gets one startOrder and then any number of stopOrders; the end
// of that pipe means that the server is gone. On descriptor reportFD it answers
// with reports.

// reportFD is the shim's descriptor for reports.
const reportFD = 3

// startOrder is the command to run, complete: nothing is inherited.
type startOrder struct {
	Program string
	Argv    []string
	Env     []string
	Dir     string
	Cgroup  string // folder of a cgroup v2 to start it in, or ""
}

// stopOrder asks for the end: force at once when Grace is 0.
type stopOrder struct {
	Grace time.Duration
}

// report is what the shim says: once Started or Failed, and after Started, when
// the whole tree is gone, Ended.
type report struct {
	Started *startedReport `json:",omitempty"`
	Failed  *failedReport  `json:",omitempty"`
	Ended   *endedReport   `json:",omitempty"`
}

type startedReport struct {
	Pid int
}

type failedReport struct {
	Errno int // 0 when it was no error of the system
	Text  string
}

type endedReport struct {
	Code   int // -1 when a signal ended it
	Signal int // 0 when none did
}

// The variables that only the driver can know.
const (
	envPort     = "SAGEMAKER_BIND_TO_PORT" // CC-43
	envHost     = "SAGEBRUSH_BIND_HOST"
	envModelDir = "SM_MODEL_DIR"
	// envToken marks every process of an instance, so that a later server knows
	// them. It is no secret.
	envToken = "SAGEBRUSH_INSTANCE_TOKEN"
)

// loopback is the address that instances listen on.
const loopback = "127.0.0.1"

// order turns a Spec into the command, all but the port, the token and the
// cgroup.
func (d *Driver) order(spec driver.Spec) (startOrder, error) {
	image, program, err := d.lookup(spec.Image)
	if err != nil {
		return startOrder{}, err
	}
	env := map[string]string{"HOME": spec.ScratchDir, "TMPDIR": spec.ScratchDir}
	for _, key := range []string{"PATH", "LANG", "LC_ALL", "TZ"} {
		if value, ok := os.LookupEnv(key); ok {
			env[key] = value
		}
	}
	maps.Copy(env, image.Env)
	maps.Copy(env, spec.Env)
	env[envHost] = loopback
	delete(env, envModelDir)
	if spec.ModelDir != "" {
		env[envModelDir] = spec.ModelDir
	}
	o := startOrder{
		Program: program,
		Argv:    slices.Concat(image.Command, spec.Args),
		Dir:     cmp.Or(image.Dir, spec.ScratchDir),
	}
	for _, key := range slices.Sorted(maps.Keys(env)) {
		if key != envPort && key != envToken {
			o.Env = append(o.Env, key+"="+env[key])
		}
	}
	return o, nil
}

// takePort asks the kernel for a free port and reserves it within this driver.
// Another program can still take it before the command listens: the instance
// then ends by itself.
func (d *Driver) takePort() (int, error) {
	for range 100 {
		l, err := net.Listen("tcp4", net.JoinHostPort(loopback, "0"))
		if err != nil {
			return 0, fault.Wrap(fault.Internal, err, "no free port on this machine")
		}
		port := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return 0, fault.Wrap(fault.Internal, err, "no free port on this machine")
		}
		d.mu.Lock()
		taken := d.ports[port]
		d.ports[port] = true
		d.mu.Unlock()
		if !taken {
			return port, nil
		}
	}
	return 0, fault.New(fault.Internal, "no free port on this machine")
}

func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

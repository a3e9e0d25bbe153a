package capacity

import (
	"io/fs"
	"runtime"
	"testing"
	"testing/fstest"
)

// root makes a file system of the texts of its files.
func root(files map[string]string) fs.FS {
	all := fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal:       16777216 kB\nMemFree:         1 kB\n")}}
	for name, text := range files {
		all[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return all
}

func TestReadLinux(t *testing.T) {
	t.Parallel()
	machine := Resources{CPUs: 4, MemoryBytes: 16 * gib}
	with := func(change func(*Resources)) Resources {
		r := machine
		change(&r)
		return r
	}
	tests := []struct {
		name  string
		files map[string]string
		want  Resources
	}{
		{"a machine", nil, machine},
		{"version 2, no limits", map[string]string{
			"proc/self/cgroup":                              "0::/user.slice/session\n",
			"sys/fs/cgroup/user.slice/session/cpu.max":      "max 100000\n",
			"sys/fs/cgroup/user.slice/session/memory.max":   "max\n",
			"sys/fs/cgroup/user.slice/session/memory.other": "1\n",
		}, machine},
		{"version 2, a service", map[string]string{
			"proc/self/cgroup": "0::/system.slice/s.service\n",
			"sys/fs/cgroup/system.slice/s.service/cpu.max":    "250000 100000\n",
			"sys/fs/cgroup/system.slice/s.service/memory.max": "8589934592\n",
		}, Resources{CPUs: 2.5, MemoryBytes: 8 * gib}},
		{"version 2, what is above has less", map[string]string{
			"proc/self/cgroup":                      "0::/a/b/c\n",
			"sys/fs/cgroup/a/cpu.max":               "50000 100000\n",
			"sys/fs/cgroup/a/b/memory.max":          "1073741824\n",
			"sys/fs/cgroup/a/b/c/cpu.max":           "300000 100000\n",
			"sys/fs/cgroup/a/b/c/memory.max":        "2147483648\n",
			"sys/fs/cgroup/a/b/other/memory.max":    "1\n",
			"sys/fs/cgroup/a/b/c/inside/memory.max": "1\n",
		}, Resources{CPUs: 0.5, MemoryBytes: gib}},
		{"version 2, in a container", map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/cpu.max":    "150000 100000\n",
			"sys/fs/cgroup/memory.max": "4294967296\n",
		}, Resources{CPUs: 1.5, MemoryBytes: 4 * gib}},
		{"version 2, a path out of the namespace", map[string]string{
			"proc/self/cgroup":         "0::/../../x\n",
			"sys/fs/cgroup/memory.max": "4294967296\n",
		}, with(func(r *Resources) { r.MemoryBytes = 4 * gib })},
		{"version 1", map[string]string{
			"proc/self/cgroup": "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n2:name=systemd:/docker/1\n0::/docker/1\n",
			"sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes":       "3221225472\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":                "9223372036854771712\n",
			"sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us":       "200000\n",
			"sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us":      "100000\n",
			"sys/fs/cgroup/name=systemd/docker/1/memory.limit_in_bytes": "1\n",
		}, Resources{CPUs: 2, MemoryBytes: 3 * gib}},
		{"version 1, in a container that sees only its own", map[string]string{
			"proc/self/cgroup":                           "4:memory:/docker/1\n3:cpu:/docker/1\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "3221225472\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":         "-1\n",
			"sys/fs/cgroup/cpu/cpu.cfs_period_us":        "100000\n",
		}, with(func(r *Resources) { r.MemoryBytes = 3 * gib })},
		{"more than the machine has", map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/cpu.max":    "6400000 100000\n",
			"sys/fs/cgroup/memory.max": "999999999999\n",
		}, machine},
		{"what is no cgroup file", map[string]string{
			"proc/self/cgroup":         "\n::\nx\n0::relative\n0::/\n",
			"sys/fs/cgroup/cpu.max":    "1\n",
			"sys/fs/cgroup/memory.max": "-5\n",
		}, machine},
		{"GPUs by their devices", map[string]string{
			"dev/nvidia0": "", "dev/nvidia1": "", "dev/nvidiactl": "", "dev/nvidia-uvm": "", "dev/nvidia-caps/nvidia-cap1": "", "dev/null": "",
			"proc/driver/nvidia/gpus/0000:00:1b.0/information": "", "proc/driver/nvidia/gpus/0000:00:1c.0/information": "", "proc/driver/nvidia/gpus/0000:00:1d.0/information": "",
		}, with(func(r *Resources) { r.GPUs = 2 })},
		{"GPUs that nobody used yet", map[string]string{
			"dev/null": "", "proc/driver/nvidia/gpus/0000:00:1b.0/information": "",
		}, with(func(r *Resources) { r.GPUs = 1 })},
	}
	for _, tt := range tests {
		got, err := readLinux(root(tt.files), 4)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
	for name, meminfo := range map[string]string{"empty": "", "no number": "MemTotal: x kB\n", "nothing": "MemTotal: 0 kB\n", "other units": "MemTotal: 3 MB\n", "huge": "MemTotal: 9223372036854775807 kB\n"} {
		if got, err := readLinux(root(map[string]string{"proc/meminfo": meminfo}), 4); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if _, err := readLinux(fstest.MapFS{}, 4); err == nil {
		t.Error("a file system without /proc has memory")
	}
}

// The machine that the test runs on makes a pool.
func TestHost(t *testing.T) {
	t.Parallel()
	host, err := Host()
	if err != nil {
		t.Fatal(err)
	}
	if host.CPUs <= 0 || host.CPUs > float64(runtime.NumCPU()) || host.MemoryBytes < 64<<20 || host.GPUs < 0 || host.Instances != 0 {
		t.Errorf("got %+v", host)
	}
	host.Instances = 4
	if _, err := New(Share, host); err != nil {
		t.Error(err)
	}
}

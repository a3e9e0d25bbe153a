package process

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
)

// delegated makes an empty cgroup v2, or skips the test.
func delegated(t *testing.T) string {
	t.Helper()
	mounts, err := os.Open("/proc/self/mounts")
	if err != nil {
		t.Skip(err)
	}
	defer mounts.Close()
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || fields[2] != "cgroup2" {
			continue
		}
		dir := filepath.Join(fields[1], "sagebrush-test-"+newToken())
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("no cgroup v2 to write to; run this as root: %v", err)
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Errorf("the cgroup is not empty: %v", err)
			}
		})
		return dir
	}
	t.Skip("no cgroup v2 is mounted")
	return ""
}

// TestCgroup runs an instance in a group of its own. Whether the group's bounds
// are in force depends on the controllers that the machine has left for v2.
func TestCgroup(t *testing.T) {
	t.Parallel()
	c := testConfig(t, shellImage("script:*", `cat /proc/self/cgroup; echo started; setsid sleep 600 & sleep 600`))
	c.Cgroup = delegated(t)
	d := New(c)
	t.Log("limits: ", d.Limits())
	out := collect("started")
	i, err := d.Start(t.Context(), driver.Spec{ID: "grouped", Image: "script:1", ScratchDir: t.TempDir(), Output: out, MemoryBytes: 1 << 30, CPUs: 1.5})
	if err != nil {
		t.Fatal(err)
	}
	<-out.seen
	group := i.(*instance).rec.Cgroup
	if filepath.Dir(group) != c.Cgroup || !strings.Contains(out.String(), filepath.Base(group)) {
		t.Errorf("group %s, the command is in %s", group, out)
	}
	for _, s := range d.cgroup.settings(1<<30, 1.5) {
		got, err := os.ReadFile(filepath.Join(group, s.file))
		if err != nil || strings.TrimSpace(string(got)) != s.value {
			t.Errorf("%s is %q (%v), want %s", s.file, got, err, s.value)
		}
	}
	if err := i.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(group); err == nil {
		t.Error("the group is still there")
	}
}

func TestCgroupSettings(t *testing.T) {
	t.Parallel()
	all := cgroupParent{dir: "x", controllers: []string{"memory", "cpu", "pids"}}
	pids := groupSetting{"pids.max", strconv.Itoa(maxTasks)}
	tests := []struct {
		parent cgroupParent
		memory int64
		cpus   float64
		want   []groupSetting
	}{
		{all, 0, 0, []groupSetting{pids}},
		{all, 4 << 30, 0, []groupSetting{{"memory.max", "4294967296"}, {"memory.oom.group", "1"}, pids}},
		{all, 0, 2.5, []groupSetting{{"cpu.max", "250000 100000"}, pids}},
		{all, 0, 0.001, []groupSetting{{"cpu.max", "1000 100000"}, pids}},
		{cgroupParent{dir: "x"}, 1, 1, nil},
	}
	for _, tt := range tests {
		if got := tt.parent.settings(tt.memory, tt.cpus); !slices.Equal(got, tt.want) {
			t.Errorf("settings(%d, %v) = %v, want %v", tt.memory, tt.cpus, got, tt.want)
		}
	}
}

func TestCgroupUnusable(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]string{
		"":                   "no cgroup is configured",
		t.TempDir():          "is not a cgroup v2",
		"/no/such/directory": "no such file",
	} {
		d := New(Config{Cgroup: dir})
		if got := d.Limits(); !strings.HasPrefix(got, "none (") || !strings.Contains(got, want) {
			t.Errorf("limits with %q: %s", dir, got)
		}
		if group, err := d.cgroup.create("x", 1, 1); group != "" || err != nil {
			t.Errorf("group %q, %v", group, err)
		}
	}
}

func TestKillsIn(t *testing.T) {
	t.Parallel()
	for events, want := range map[string]int{
		"low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 1\n": 2,
		"oom 3\noom_kill 0\n": 0,
		"":                    0,
		"oom_kill x\n":        0,
	} {
		if got := killsIn([]byte(events)); got != want {
			t.Errorf("killsIn(%q) = %d, want %d", events, got, want)
		}
	}
}

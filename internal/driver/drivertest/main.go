package drivertest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// forkArg makes Main the child that Fork starts.
const forkArg = "drivertest-fork"

// Main is the Program as a process of its own. args is what a container's
// command gets; the environment says the rest: SAGEMAKER_BIND_TO_PORT (8080
// without it), SAGEBRUSH_BIND_HOST (all addresses without it) and SM_MODEL_DIR
// (/opt/ml/model without it). self is the command that ends up in Main again. It
// never returns.
func Main(self, args []string) {
	if len(args) == 1 && args[0] == forkArg {
		hold()
	}
	p := Program{
		Env:      environ(),
		Args:     args,
		ModelDir: or(os.Getenv("SM_MODEL_DIR"), "/opt/ml/model"),
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,
		Exit:     os.Exit,
		Die:      die,
		Fork:     func(session bool) (string, error) { return fork(self, session) },
	}
	switch onTerm := os.Getenv(EnvTerm); onTerm {
	case "":
		endAtTerm()
	case "ignore":
		signal.Ignore(syscall.SIGTERM)
	default:
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		go func() {
			<-c
			code, _ := strconv.Atoi(onTerm)
			os.Exit(code)
		}()
	}
	if p.Begin() {
		addr := net.JoinHostPort(os.Getenv("SAGEBRUSH_BIND_HOST"), or(os.Getenv("SAGEMAKER_BIND_TO_PORT"), "8080"))
		fmt.Fprintln(os.Stderr, http.ListenAndServe(addr, p.Handler()))
	}
	os.Exit(1)
}

// die kills this process. The first process of a container cannot be killed from
// within; it ends as a shell does whose child was killed.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	if os.Getpid() == 1 {
		os.Exit(128 + int(syscall.SIGKILL))
	}
}

// endAtTerm has SIGTERM end the first process of a container, which the signal
// alone does not.
func endAtTerm() {
	if os.Getpid() != 1 {
		return
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	go func() {
		<-c
		os.Exit(128 + int(syscall.SIGTERM))
	}()
}

func environ() map[string]string {
	env := map[string]string{}
	for _, v := range os.Environ() {
		key, value, _ := strings.Cut(v, "=")
		env[key] = value
	}
	return env
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// fork starts a child and returns when it holds its address.
func fork(self []string, session bool) (string, error) {
	cmd := exec.Command(self[0], append(self[1:len(self):len(self)], forkArg)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: session}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(addr), err
}

// childSays is what a child tells whoever connects.
const childSays = "drivertest child"

// hold is the child: it keeps an address, on the host that the Program listens
// on, until it is killed.
func hold() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
	l, err := net.Listen("tcp4", net.JoinHostPort(os.Getenv("SAGEBRUSH_BIND_HOST"), "0"))
	if err != nil {
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		_, _ = io.WriteString(c, childSays+"\n")
		c.Close()
	}
}

// A vCenter that this project did not write: govmomi's simulator, as Debian packages it, behind a certificate of ours.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/vmware/govmomi/simulator"
	_ "github.com/vmware/govmomi/vapi/simulator" // sessions and tags by REST
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address and port")
	user := flag.String("user", "karaula", "the only user")
	password := flag.String("password", "secret", "its password")
	cert := flag.String("cert", "", "certificate (PEM)")
	key := flag.String("key", "", "private key (PEM)")
	machines := flag.Int("machines", 4, "VMs per pool (the model has two pools)")
	idle := flag.Duration("idle", 0, "end sessions that were idle for so long (0: never)")
	flag.Parse()

	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		log.Fatal(err)
	}
	model := simulator.VPX()
	model.Machine = *machines
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	simulator.SessionIdleTimeout = *idle
	model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	model.Service.Listen = &url.URL{Host: *listen, User: url.UserPassword(*user, *password)}
	model.Service.RegisterEndpoints = true
	server := model.Service.NewServer()
	fmt.Printf("ready %s %s\n", server.URL.Host, time.Now().UTC().Format(time.RFC3339))

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}

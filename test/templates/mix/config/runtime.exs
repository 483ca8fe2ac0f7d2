import Config

# As libcluster has it; nameservers are ours, for a name server of the test's.
config :app,
  topologies: [
    by_dns: [
      strategy: Cluster.Strategy.DNSPoll,
      config: [
        query: "app.test",
        node_basename: "app",
        polling_interval: 1_000,
        nameservers: [System.fetch_env!("APP_NAMESERVER")]
      ]
    ]
  ]

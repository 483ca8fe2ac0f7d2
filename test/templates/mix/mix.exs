defmodule App.MixProject do
  use Mix.Project

  def project do
    [
      app: :app,
      version: "0.1.0",
      elixir: "~> 1.11",
      start_permanent: true,
      # in a project of yours: {:tiebeam, git: "...", subdir: "erl"}
      deps: [{:tiebeam, path: System.get_env("TIEBEAM_ERL", "../../../erl")}],
      releases: [app: [include_executables_for: [:unix]]]
    ]
  end

  def application do
    [mod: {App.Application, []}, extra_applications: [:logger]]
  end
end

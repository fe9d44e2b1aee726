"""What tests share: stages, fakes, contracts, servers in processes of their own."""

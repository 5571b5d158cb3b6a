from reelkeeper.cli import main

main()

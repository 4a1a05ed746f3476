// Loaded into a server that knows no other way: it listens on every interface, and with port 0 nobody learns which port
// it got. Here it listens on this machine only, tells its parent the port, and ends when its parent has gone.
import { Server } from 'node:net'

const { listen } = Server.prototype

Object.defineProperty(Server.prototype, 'listen', {
  value(this: Server, port: unknown, listening: () => void): Server {
    this.once('listening', () => {
      const address = this.address()
      if (typeof address === 'object') process.send?.(address?.port)
    })
    return Reflect.apply(listen, this, [{ port: Number(port), host: '127.0.0.1' }, listening])
  },
})

process.on('disconnect', () => process.exit())
